"""Secrets that are generated once and kept in a file of their own, readable by their owner alone."""

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

_SHORTEST_SECRET_BYTES = 16


class SecretFileError(Exception):
    """A secret file cannot be used; the text says which and why."""


def read_or_create_secret(path: Path, n_bytes: int = 32) -> bytes:
    """The bytes in `path`; made at random when there is no such file.

    Any number of processes may ask at once: all get the same secret. Raises `SecretFileError` when the file
    cannot be read or made, or is too short to be a secret (cut short by a restore, say).
    """
    secret = read_or_create_file(path, lambda: secrets.token_bytes(n_bytes))
    if len(secret) < _SHORTEST_SECRET_BYTES:
        raise SecretFileError(
            f"{path} holds {len(secret)} bytes, which is too short for a secret. Restore it from a backup; "
            "deleting it makes a new one, and whatever was made with the old one stops working."
        )
    return secret


def read_or_create_file(path: Path, make: Callable[[], bytes]) -> bytes:
    """The bytes in `path`, made by `make` and stored with mode 0600 when there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SecretFileError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _publish(make(), path)
        return path.read_bytes()
    except OSError as error:
        raise SecretFileError(f"{path} cannot be made: {error.strerror}.") from error


def _publish(content: bytes, path: Path) -> None:
    """Makes `path` appear whole or not at all; where another process was first, its content stays."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:  # mkstemp made it with mode 0600
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link, unlike a rename, fails when the name is taken.
            os.link(draft, path)
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        os.unlink(draft)  # noqa: PTH108 - beside the os calls above
