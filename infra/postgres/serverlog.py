"""The file that the server writes its log to. It survives restarts and does not grow for ever."""

import os
from pathlib import Path
from typing import BinaryIO

_ROTATE_AT_BYTES = 5_000_000


class ServerLog:
    """At a start a large file becomes `NAME.1`, whose predecessor is dropped.

    Renamed only then: the server holds the file open while it runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self) -> int:
        """Call before a start; answers where this start's log will begin."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        size = self.path.stat().st_size if self.path.exists() else 0
        if size > _ROTATE_AT_BYTES:
            self.path.rename(self.path.with_name(self.path.name + ".1"))
            return 0
        return size

    def open(self) -> BinaryIO:
        """For the server to write to; opened by us, so it need not have rights on the folder."""
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(fd, "wb")

    def since(self, offset: int) -> str:
        """What was written after `offset`; empty where there is no file."""
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
