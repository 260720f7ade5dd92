"""Several signing keys in one file: one signs, those before it are believed until their tokens have expired.

The file (mode 0600) is a JWK Set (RFC 7517); each key says in `active_from`, in seconds since 1970, from when
on it signs. A file with one bare JWK, as earlier releases wrote it, is a ring of one. Processes notice a
new file within a second, and at once where a token names a key that they do not know.
"""

import fcntl
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import msgspec
import structlog

from infra.auth.signing_key import Jwk, SigningKeyError, is_private, new_signing_key, public_jwk
from infra.auth.tokens import LONGEST_LIFETIME_S
from infra.secrets_files import SecretFileError, read_or_create_file

LOOK_INTERVAL_S: Final = 1.0
BELIEVED_FOR_S: Final = LONGEST_LIFETIME_S + 300
"""After its successor began: the longest life of a token, and minutes for clocks that differ."""

log = structlog.get_logger("auth")


class RingKey(msgspec.Struct, frozen=True):
    """`jwk` is public once another key has taken over: nobody shall sign with it again."""

    jwk: Jwk
    active_from_s: int

    @property
    def key_id(self) -> str:
        return str(self.jwk["kid"])

    @property
    def signs(self) -> bool:
        return "d" in self.jwk


Ring = tuple[RingKey, ...]
"""In the order in which they become active."""


def load_or_create_ring(path: Path) -> Ring:
    """The keys in `path`; one that was just made where there is no such file.

    Processes that start at the same time end with the same key. Raises SigningKeyError for a file with
    something else in it: a new key would turn everybody's tokens away, so nothing is overwritten.
    """
    text = read_or_create_file(path, lambda: json.dumps(new_signing_key()).encode())
    try:
        held = json.loads(text)
        jwks = held.get("keys", [held])
        found = [_ring_key(each) for each in jwks]
    except SigningKeyError as error:
        raise SigningKeyError(f"{path} cannot be used: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SigningKeyError(f"{path} does not hold JWKs") from error
    if not any(each.signs for each in found):
        raise SigningKeyError(f"{path} holds no private Ed25519 JWK")
    return tuple(sorted(found, key=lambda each: each.active_from_s))


def signing(ring: Ring, now_s: float) -> RingKey:
    """The key that signs now: the newest that is active, or the first that can."""
    able = [each for each in ring if each.signs]
    active = [each for each in able if each.active_from_s <= now_s]
    return active[-1] if active else able[0]


def believed(ring: Ring, now_s: float) -> Ring:
    """The keys whose tokens are accepted: also those that will sign soon."""
    ends = [later.active_from_s + BELIEVED_FOR_S for later in ring[1:]]
    return (*(each for each, end in zip(ring, ends, strict=False) if now_s < end), ring[-1])


def rotate(path: Path, now_s: int, *, active_in_s: int = 0, drop_others: bool = False) -> Ring:
    """Adds a key that signs from `active_in_s` seconds on, and writes the file anew.

    Keys that no longer sign lose their private part, those that are no longer believed go. With
    `drop_others` all others go at once, and everybody signs in again: for a key that was stolen. Raises
    SigningKeyError.
    """
    with _alone(path):
        before = load_or_create_ring(path)
        added = RingKey(new_signing_key(), now_s + active_in_s)
        signs_now = signing(before, now_s)
        # A key that still waits for its turn has signed nothing: the new one takes its place.
        kept = (
            () if drop_others else tuple(each for each in believed(before, now_s) if not _waits(each, now_s))
        )
        ring = (*(each if active_in_s and each is signs_now else _public(each) for each in kept), added)
        _replace(path, ring)
    return ring


class KeyRing:
    """The ring as the file has it now, for issuing and verifying tokens."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._ring = load_or_create_ring(path)
        self._read_from = _identity(path)
        self._looked_at = monotonic()
        self._public: tuple[Jwk, ...] = ()

    def signing_key(self) -> Jwk:
        self._look(LOOK_INTERVAL_S)
        return signing(self._ring, self._clock().timestamp()).jwk

    def verifying_keys(self, *, again: bool = False) -> tuple[Jwk, ...]:
        """The public keys, the same object as long as they are the same keys; `again` looks at once."""
        self._look(0.0 if again else LOOK_INTERVAL_S)
        found = believed(self._ring, self._clock().timestamp())
        if [each.key_id for each in found] != [jwk["kid"] for jwk in self._public]:
            self._public = tuple(public_jwk(each.jwk) for each in found)
        return self._public

    def _look(self, at_most_every_s: float) -> None:
        now_s = monotonic()
        if now_s - self._looked_at < at_most_every_s:
            return
        with self._lock:
            self._looked_at = now_s
            found = _identity(self._path)
            if found in (None, self._read_from):
                return
            self._read_from = found
            try:
                self._ring = load_or_create_ring(self._path)
            except (SigningKeyError, SecretFileError) as error:
                # The keys as they were still serve everybody who is signed in.
                log.error("signing keys not read again", error=str(error))  # noqa: TRY400 - the text says all
            else:
                log.info("signing keys read again", keys=[each.key_id for each in self._ring])


def _waits(key: RingKey, now_s: float) -> bool:
    return key.active_from_s > now_s


def _public(key: RingKey) -> RingKey:
    return RingKey(public_jwk(key.jwk), key.active_from_s)


def _ring_key(held: Any) -> RingKey:
    jwk = {name: value for name, value in held.items() if name != "active_from"}
    is_private(jwk)
    active_from_s = held.get("active_from", 0)
    if type(active_from_s) is not int:
        raise SigningKeyError("'active_from' is no whole number of seconds")
    return RingKey(jwk, active_from_s)


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two operators at once: one after the other."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(path: Path, ring: Sequence[RingKey]) -> None:
    held = {"keys": [{**each.jwk, "active_from": each.active_from_s} for each in ring]}
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:  # mkstemp made it with mode 0600
        file.write(json.dumps(held))
        file.flush()
        os.fsync(file.fileno())
    Path(draft).replace(path)
