"""The files of a ZIP archive, as far as they are wanted: an archive can be a bomb, and is taken for one."""

import io
import struct
import zipfile
import zlib
from collections.abc import Collection
from typing import Final

from commands.roster.roster import UnreadableRoster

MAX_UNPACKED_BYTES: Final = 64 * 1024 * 1024
"""Of all files together that are wanted: fifty thousand people with their enrolments take a tenth of it."""
MAX_FILES: Final = 100

_PACKED: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What everybody packs with; others bring errors of their own, and unpack to more out of less."""

_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What reading an archive can end in: `RuntimeError` where a password is needed, `NotImplementedError` where
it is packed in a way that nobody knows, `ValueError` where lengths do not fit."""


def unpacked(body: bytes, names: Collection[str]) -> dict[str, bytes]:
    """The files of these names, as far as they are there. Raises `UnreadableRoster`.

    They may lie in one folder, as archives do that were made of a folder. What the archive says of lengths is
    not believed: it is counted while it is unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_FILES:
                raise UnreadableRoster(reason=f"the archive has more than {MAX_FILES} files")
            wanted = _wanted(entries, names)
            left = MAX_UNPACKED_BYTES
            found = {}
            for name, entry in wanted.items():
                with archive.open(entry) as file:
                    found[name] = file.read(left + 1)
                left -= len(found[name])
                if left < 0:
                    raise UnreadableRoster(reason=f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
            return found
    except _BROKEN as error:
        raise UnreadableRoster(
            reason=f"it is no archive that can be unpacked ({type(error).__name__})"
        ) from None


def _wanted(entries: Collection[zipfile.ZipInfo], names: Collection[str]) -> dict[str, zipfile.ZipInfo]:
    wanted: dict[str, zipfile.ZipInfo] = {}
    folders = set()
    for entry in entries:
        folder, _, name = entry.filename.rpartition("/")
        if name not in names or "/" in folder or folder == "__MACOSX":
            continue
        if entry.compress_type not in _PACKED:
            raise UnreadableRoster(reason=f"{name} is packed in another way than deflate")
        if name in wanted:
            raise UnreadableRoster(reason=f"the archive has two files called {name}")
        wanted[name] = entry
        folders.add(folder)
    if len(folders) > 1:
        raise UnreadableRoster(reason="its files lie in different folders")
    return wanted
