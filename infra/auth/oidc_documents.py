"""What an issuer publishes of itself: its addresses (OpenID Connect Discovery 1.0) and its public keys."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from infra.auth.oidc_fetch import BoundedFetch, FetchFailed, require_fetchable

GOOD_FOR_S: Final = 3_600.0
KEPT_FOR_S: Final = 24 * 3_600.0
"""As long as the issuer cannot be asked, what it said last still counts."""
RETRY_AFTER_S: Final = 2.0
"""After a failure nobody asks again for so long: the others are told at once that it is away."""
KEYS_AGAIN_AFTER_S: Final = 5.0
"""A key that is not known makes us ask anew, and no more often than this."""
MOST_KEYS: Final = 50

D = TypeVar("D")


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """OpenID Connect Discovery 1.0, section 3; what else is published there is passed over."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Published(msgspec.Struct, frozen=True):
    keys: tuple[dict[str, Any], ...]


class IssuerDocuments:
    """Both documents of one issuer, each fetched when it is first needed and when it has grown old."""

    def __init__(self, issuer: str, fetch: BoundedFetch, clock: Callable[[], datetime]) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._discovered = _Kept(self._discover, clock)
        self._keys = _Kept(self._fetch_keys, clock)

    async def discovered(self) -> Discovered:
        """Raises FetchFailed."""
        return await self._discovered.get(GOOD_FOR_S)

    async def keys(self, *, again: bool = False) -> tuple[dict[str, Any], ...]:
        """The issuer's JWKs; `again`: one is missing. Raises FetchFailed."""
        return await self._keys.get(KEYS_AGAIN_AFTER_S if again else GOOD_FOR_S)

    async def _discover(self) -> Discovered:
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = _converted(await self._fetch.get(url), Discovered)
        # Section 4.3: else one issuer could speak for another.
        if found.issuer != self._issuer:
            raise FetchFailed(f"{url} is the document of another issuer")
        for each in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            require_fetchable(each, issuer=self._issuer)
        return found

    async def _fetch_keys(self) -> tuple[dict[str, Any], ...]:
        keys = _converted(await self._fetch.get((await self.discovered()).jwks_uri), _Published).keys
        if len(keys) > MOST_KEYS:
            raise FetchFailed(f"{self._issuer} publishes {len(keys)} keys")
        return keys


class _Kept(Generic[D]):
    """One document. Of many who need it at once, one fetches it and the others wait for that."""

    def __init__(self, fetch: Callable[[], Awaitable[D]], clock: Callable[[], datetime]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._turn = asyncio.Lock()
        self._document: D | None = None
        self._fetched_at_s = float("-inf")
        self._failed_at_s = float("-inf")

    async def get(self, at_most_old_s: float) -> D:
        if self._document is not None and self._age_s() < at_most_old_s:
            return self._document
        async with self._turn:
            if self._document is not None and self._age_s() < at_most_old_s:
                return self._document
            if self._now_s() - self._failed_at_s < RETRY_AFTER_S:
                return self._old_or(FetchFailed("it could not be asked a moment ago"))
            try:
                document = await self._fetch()
            except FetchFailed as error:
                self._failed_at_s = self._now_s()
                return self._old_or(error)
            self._document, self._fetched_at_s = document, self._now_s()
            return document

    def _old_or(self, error: FetchFailed) -> D:
        if self._document is None or self._age_s() > KEPT_FOR_S:
            raise error
        return self._document

    def _age_s(self) -> float:
        return self._now_s() - self._fetched_at_s

    def _now_s(self) -> float:
        return self._clock().timestamp()


def _converted(document: Any, kind: type[D]) -> D:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise FetchFailed(f"the issuer publishes what cannot be used: {error}") from error
