"""Passwords: which are acceptable, and their Argon2id hashes, made in a bounded pool of threads.

A hash is meant to be slow (some 50 ms and 64 MiB); without a bound a burst of sign-ins would take the
processor and the memory from everything else.
"""

import asyncio
import secrets
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from infra.auth.common_passwords import COMMON_PASSWORDS
from infra.http.errors import SignInBusy, WeakPassword
from infra.http.text import has_forbidden_characters

MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 256
_RETRY_AFTER_S: Final = 2

R = TypeVar("R")


def check_password(password: str) -> None:
    """Raises WeakPassword for a password that nobody should choose.

    8 to 256 characters after NFKC (NIST SP 800-63B section 5.1.1.2: length and a list of common ones,
    no rules of composition).
    """
    if has_forbidden_characters(password):
        raise WeakPassword(reason="has control characters")
    normal = unicodedata.normalize("NFKC", password)
    if len(normal) < MIN_LENGTH:
        raise WeakPassword(reason=f"is shorter than {MIN_LENGTH} characters")
    if len(normal) > MAX_LENGTH:
        raise WeakPassword(reason=f"is longer than {MAX_LENGTH} characters")
    if normal.casefold() in COMMON_PASSWORDS or len(set(normal)) == 1:
        raise WeakPassword(reason="is one of the commonest")


class PasswordHasher:
    """Argon2id with the library's recommended cost.

    At most `max_parallel` hashes at once and `max_waiting` behind them; beyond that SignInBusy (503).
    """

    def __init__(
        self, *, max_parallel: int = 2, max_waiting: int = 64, hasher: Argon2Hasher | None = None
    ) -> None:
        self._hash = PasswordHash((hasher or Argon2Hasher(),))
        self._places = threading.BoundedSemaphore(max_parallel + max_waiting)
        self._threads = ThreadPoolExecutor(max_parallel, thread_name_prefix="password")
        # Made with the same cost as real ones, so that an unknown user takes as long as a known one.
        self._nobodys_hash = self._hash.hash(secrets.token_bytes(16))

    def check(self, password: str) -> None:
        """See `check_password`."""
        check_password(password)

    def require_room(self) -> None:
        """Raises SignInBusy where there is no place at the moment."""
        self._take_place()
        self._places.release()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one hash, also while it is not yet asked for. Raises SignInBusy."""
        self._take_place()
        place = _Place()
        outer = _held.set(place)
        try:
            yield
        finally:
            _held.reset(outer)
            if not place.used:
                self._places.release()

    async def hash(self, password: str) -> str:
        """Raises SignInBusy."""
        return await self._run(self._hash.hash, _normal_bytes(password))

    async def verify(self, password: str, hash_: str) -> bool:
        """Raises SignInBusy."""
        return await self._run(self._hash.verify, _normal_bytes(password), hash_)

    async def verify_dummy(self, password: str) -> None:
        """Takes as long as `verify`: for accounts that do not exist. Raises SignInBusy."""
        await self._run(self._hash.verify, _normal_bytes(password), self._nobodys_hash)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[..., R], *args: Any) -> R:
        place = _held.get()
        if place is None or place.used:
            self._take_place()
        else:
            place.used = True
        future: Future[R] = self._threads.submit(work, *args)
        # Not in a `finally` of this coroutine: when it is cancelled the thread still works on.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def _take_place(self) -> None:
        if not self._places.acquire(blocking=False):
            raise SignInBusy(retry_after_s=_RETRY_AFTER_S)


class _Place:
    """`used`: a hash is made in it, and gives it back when it is done."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = False


_held: ContextVar[_Place | None] = ContextVar("held_place", default=None)


def _normal_bytes(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
