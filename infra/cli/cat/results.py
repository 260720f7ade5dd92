"""Files out: each appears when it is complete, or not at all."""

import csv
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from infra.cli.console import EXIT_FAILED, CommandError


def check_target(file: Path | None) -> None:
    """Says before the work begins that a file cannot be written. Raises CommandError."""
    if file is None:
        return
    if not file.resolve().parent.is_dir():
        raise CommandError(f"{file} cannot be written: there is no folder {file.parent}.")
    if file.exists() and not file.is_file():
        # The draft takes the place of what was there: of a device that would be its end.
        raise CommandError(f"{file} cannot be written: it is no ordinary file.")


def number(value: float | None) -> str:
    """The shortest text that is read as the same number (up to 17 digits); empty where there is none."""
    return "" if value is None or math.isnan(value) else repr(float(value))


def write_csv(file: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A file that is there already is replaced. Raises CommandError."""
    with _whole(file) as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write_json(file: Path, content: dict[str, Any]) -> None:
    """As `write_csv`."""
    with _whole(file) as text:
        text.write(as_json(content) + "\n")


def as_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def one_line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


@contextmanager
def _whole(file: Path) -> Iterator[IO[str]]:
    target = file.resolve()  # what a link leads to is replaced, not the link
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
    try:
        try:
            with draft.open("x", encoding="utf-8", newline="") as text:
                yield text
                text.flush()
                os.fsync(text.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written: {error.strerror or error}.", exit_code=EXIT_FAILED
        ) from error


@contextmanager
def drawn_whole(file: Path) -> Iterator[Path]:
    """A name beside `file` for a picture to be drawn to; it takes its place at the end."""
    draft = file.with_name(f".{secrets.token_hex(8)}.partial{file.suffix}")
    try:
        yield draft
        draft.replace(file)
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written: {error.strerror or error}.", exit_code=EXIT_FAILED
        ) from error
    finally:
        draft.unlink(missing_ok=True)
