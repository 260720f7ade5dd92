"""Sign-ins with other providers that have been started: table `ops.oidc_flows`.

Each is finished once, within minutes, by the browser that started it. State and binding are random and known
as hashes alone; nonce and PKCE verifier (RFC 7636) are derived from the state with a secret of the server.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from domain.identifiers import StreamId
from domain.languages import Language
from domain.zones import ZoneId
from infra.http.base64url import encode_base64url

GOOD_FOR: Final = timedelta(minutes=10)

# In one statement, so that of two who come at once with the same state one is told.
_TAKE: Final = """
DELETE FROM ops.oidc_flows
WHERE state_hash = %s AND binding_hash = %s AND provider = %s AND user_id IS NOT DISTINCT FROM %s
    AND expires_at > %s
RETURNING zone_id, language
"""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is started; `user_id` is who links an identity to their account."""

    provider: str
    zone_id: ZoneId
    language: Language
    user_id: StreamId | None = None


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in on its way. Only `state` and the hash of `verifier` and `nonce` pass by the provider."""

    state: str
    binding: str
    nonce: str
    verifier: str
    expires_at: datetime


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    nonce: str
    verifier: str
    zone_id: ZoneId
    language: Language


class OidcFlows:
    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        *,
        secret: bytes,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._secret = secret
        self._clock = clock

    async def begin(self, asked: Asked) -> Flow:
        flow = Flow(
            state=(state := secrets.token_urlsafe(32)),
            binding=secrets.token_urlsafe(32),
            nonce=self._derived(b"oidc-nonce", state),
            verifier=self._derived(b"oidc-verifier", state),
            expires_at=self._clock() + GOOD_FOR,
        )
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO ops.oidc_flows"
                " (state_hash, binding_hash, provider, user_id, zone_id, language, expires_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (
                    _hash(flow.state),
                    _hash(flow.binding),
                    asked.provider,
                    asked.user_id,
                    asked.zone_id,
                    asked.language,
                    flow.expires_at,
                ),
            )
        return flow

    async def take(
        self, state: str, binding: str, *, provider: str, user_id: StreamId | None
    ) -> Taken | None:
        """What was started so, and it is finished with; None where it was not, or not so."""
        async with self._pool.connection() as connection:
            found = await connection.execute(
                _TAKE, (_hash(state), _hash(binding), provider, user_id, self._clock())
            )
            row = await found.fetchone()
        if row is None:
            return None
        return Taken(
            nonce=self._derived(b"oidc-nonce", state),
            verifier=self._derived(b"oidc-verifier", state),
            zone_id=row[0],
            language=row[1],
        )

    async def sweep(self, now: datetime) -> int:
        """Removes what was never finished; returns how many."""
        async with self._pool.connection() as connection:
            done = await connection.execute("DELETE FROM ops.oidc_flows WHERE expires_at <= %s", (now,))
        return done.rowcount

    def _derived(self, purpose: bytes, state: str) -> str:
        """base64url(HMAC-SHA256(secret, purpose || state)): 43 characters, as RFC 7636 4.1 asks for."""
        return encode_base64url(hmac.digest(self._secret, purpose + state.encode(), "sha256"))


def _hash(token: str) -> bytes:
    # 256 random bits: nothing slower is needed to hide them.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
