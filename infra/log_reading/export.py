"""Chosen events into a file: JSON Lines, or Parquet for those who analyse."""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol, TypeAlias

from infra.log_reading.stored import StoredAt

Format: TypeAlias = Literal["jsonl", "parquet"]


@dataclass(frozen=True)
class Exported:
    events: int
    last_position: int | None


class Writer(Protocol):
    def write(self, event: StoredAt) -> None: ...


def write_all(events: Iterable[StoredAt], writer: Writer) -> Exported:
    count, last = 0, None
    for event in events:
        writer.write(event)
        count, last = count + 1, event.position
    return Exported(count, last)


@contextmanager
def to_file(path: Path, format_: Format) -> Iterator[Writer]:
    """The file is there, whole, when the block ends; where the block fails there is none of it.

    Readable by its owner alone: the log holds what people did. Raises `OSError`, and `ModuleNotFoundError`
    where the package that writes Parquet is missing.
    """
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            with _writer(file, format_) as writer:
                yield writer
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


@contextmanager
def to_standard_output() -> Iterator[Writer]:
    """JSON Lines, for a pipe."""
    yield _JsonLines(sys.stdout.buffer)
    sys.stdout.buffer.flush()


@contextmanager
def _writer(file: IO[bytes], format_: Format) -> Iterator[Writer]:
    if format_ == "jsonl":
        yield _JsonLines(file)
        return
    from infra.log_reading.parquet import ParquetRows

    with ParquetRows(file) as rows:
        yield rows


class _JsonLines:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, event: StoredAt) -> None:
        self._file.write(event.as_json())
        self._file.write(b"\n")
