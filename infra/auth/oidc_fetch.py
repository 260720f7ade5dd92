"""Asking an identity provider: a short while, for a short answer, and nobody else whom it may point to."""

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

TIMEOUT_S: Final = 5.0
MOST_BYTES: Final = 256 * 1024
_MOST_AT_ONCE: Final = 20


class FetchFailed(Exception):
    """No answer, or none that can be used; the text says why."""


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_fetchable(url: str, *, issuer: str) -> None:
    """Raises FetchFailed for an address that this issuer may not send us to.

    HTTPS alone, and no address inside a network: a document from outside must not make us ask what is behind
    our own wall. An issuer on this machine (for development) may name addresses on this machine.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # an impossible one is noticed here
    except ValueError as error:
        raise FetchFailed(f"{url[:200]!r} is no address") from error
    if parts.username is not None or parts.fragment or not parts.hostname:
        raise FetchFailed(f"{url[:200]!r} is no plain address")
    if is_loopback(issuer):
        if not is_loopback(url) or parts.scheme not in {"http", "https"}:
            raise FetchFailed(f"{url[:200]!r} is not on this machine, as the issuer is")
    elif parts.scheme != "https" or not _is_public(parts):
        raise FetchFailed(f"{url[:200]!r} is no public HTTPS address")


class BoundedFetch:
    """A client of one issuer. Redirects are not followed; certificates are checked."""

    def __init__(self, issuer: str, *, timeout_s: float = TIMEOUT_S, most_bytes: int = MOST_BYTES) -> None:
        self._issuer = issuer
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._client: Any = None

    async def get(self, url: str) -> Any:
        """The JSON there. Raises FetchFailed for anything but a 200."""
        status, answer = await self._asked("GET", url)
        if status != 200:
            raise FetchFailed(f"{url} answers {status}")
        return answer

    async def post(self, url: str, form: str, headers: Mapping[str, str]) -> tuple[int, Any]:
        """Status and JSON of the answer to an encoded form. Raises FetchFailed."""
        return await self._asked("POST", url, content=form.encode(), headers=dict(headers))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _asked(self, method: str, url: str, **what: Any) -> tuple[int, Any]:
        import httpx

        require_fetchable(url, issuer=self._issuer)
        if self._client is None:
            self._client = httpx.AsyncClient(
                follow_redirects=False,
                # Packed, a short answer may be long. Who packs it all the same sends no JSON.
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                timeout=self._timeout_s,
                limits=httpx.Limits(max_connections=_MOST_AT_ONCE, max_keepalive_connections=2),
                # What is on this machine is not reached through a proxy.
                trust_env=not is_loopback(self._issuer),
            )
        try:
            # The client's own limit is for each piece of the answer: a drip would go on for ever.
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(method, url, **what) as response,
            ):
                status, body = response.status_code, await self._read(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise FetchFailed(f"{url}: {type(error).__name__}") from error
        if status >= 500 or 300 <= status < 400:
            raise FetchFailed(f"{url} answers {status}")
        try:
            return status, msgspec.json.decode(body)
        except (ValueError, RecursionError) as error:
            raise FetchFailed(f"{url} answers {status} with something that is no JSON") from error

    async def _read(self, response: Any) -> bytes:
        body = bytearray()
        async for piece in response.aiter_raw(16_384):
            body += piece
            if len(body) > self._most_bytes:
                raise FetchFailed(f"{response.url} answers with more than {self._most_bytes} bytes")
        return bytes(body)


def _is_public(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ip_address(host).is_global
    except ValueError:
        return host != "localhost" and not host.endswith((".localhost", ".local", ".internal"))
