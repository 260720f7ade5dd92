"""The secrets of the payment provider's webhooks, and messages that were signed with one of them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import structlog

from infra.payments.signatures import SignedMessage, UnusableSecret, secret_of, verify

log = structlog.get_logger("payments")


class UnusableSecretsFile(Exception):
    """The file of secrets cannot be used; the text says why, and never what stands in it."""


class SignedWebhooks:
    """Believes what is signed with a secret of the file, one `whsec_…` a line; `#` begins a comment.

    Two secrets can be there while the provider changes from one to the other. The file is looked at again
    when it has changed, so a change needs no restart. Without a file nothing is believed.

    Args:
        path: of the file of secrets.

    Raises `UnusableSecretsFile` where it cannot be used at the start; one that is spoilt later on is told in
    the log, and the secrets that were there before stay.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._state: tuple[int, int, int] | None = None
        self._keys: tuple[bytes, ...] = ()
        if path is not None:
            self._state, self._keys = _state_of(path), _read(path)

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> SignedMessage:
        """Raises `WrongSignature`."""
        return verify(self._current(), headers, body, now)

    def _current(self) -> tuple[bytes, ...]:
        if self._path is None:
            return ()
        try:
            state = _state_of(self._path)
            if state != self._state:
                self._keys = _read(self._path)
                self._state = state
        except UnusableSecretsFile as error:
            log.warning("webhook secrets not read again", reason=str(error))
        return self._keys


def _state_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise UnusableSecretsFile(f"{path} cannot be read: {error.strerror}") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UnusableSecretsFile(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UnusableSecretsFile(f"{path} is not UTF-8") from None
    keys = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            keys.append(secret_of(text))
        except UnusableSecret as error:
            raise UnusableSecretsFile(f"line {number} of {path}: {error}") from None
    if not keys:
        raise UnusableSecretsFile(f"{path} holds no secret")
    return tuple(keys)
