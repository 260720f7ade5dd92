"""Table `ops.idempotency`: which requests were carried out, and what they were answered.

`begin` is one statement, so 32 clients that send the same request at once get one claim; the others
are told that it is in flight, or get the answer. A holder that dies loses its claim when the lease
runs out, and the next one carries on under the same command id.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from infra.http.errors import IdempotencyKeyReused, RequestInFlight
from infra.http.idempotency import Claim, Replay

RETRY_AFTER_S: Final = 1
_NONCE_BYTES: Final = 12

# An existing row is taken over only when its time is over (then it starts anew) or when its holder's
# lease is (then it keeps its command id). ON CONFLICT locks the row, so exactly one claimant wins.
_CLAIM = """
INSERT INTO ops.idempotency AS kept
    (principal, route, key, request_hash, command_id, state, lease_until, created_at, expires_at)
VALUES
    (%(principal)s, %(route)s, %(key)s, %(request_hash)s, %(command_id)s, 'in_flight',
     %(lease_until)s, %(now)s, %(expires_at)s)
ON CONFLICT (principal, route, key) DO UPDATE SET
    request_hash = EXCLUDED.request_hash,
    command_id = CASE WHEN kept.expires_at <= %(now)s THEN EXCLUDED.command_id ELSE kept.command_id END,
    state = 'in_flight',
    lease_until = EXCLUDED.lease_until,
    status = NULL,
    headers = NULL,
    body = NULL,
    created_at = CASE WHEN kept.expires_at <= %(now)s THEN EXCLUDED.created_at ELSE kept.created_at END,
    expires_at = CASE WHEN kept.expires_at <= %(now)s THEN EXCLUDED.expires_at ELSE kept.expires_at END
WHERE kept.expires_at <= %(now)s
   OR (kept.state = 'in_flight' AND kept.lease_until <= %(now)s AND kept.request_hash = EXCLUDED.request_hash)
RETURNING command_id, lease_until
"""

_LOOK = """
SELECT request_hash, state, status, headers, body FROM ops.idempotency
WHERE principal = %(principal)s AND route = %(route)s AND key = %(key)s
"""

# The command id tells whether the row is still about the same command (it may have expired and begun
# anew). A holder that was overtaken by another may complete too: both carried out one command.
_COMPLETE = """
UPDATE ops.idempotency SET state = 'done', status = %(status)s, headers = %(headers)s, body = %(body)s
WHERE principal = %(principal)s AND route = %(route)s AND key = %(key)s
  AND command_id = %(command_id)s AND state = 'in_flight'
"""

# Here an overtaken holder may not: the lease is no longer its own.
_ABANDON = """
UPDATE ops.idempotency SET lease_until = %(now)s
WHERE principal = %(principal)s AND route = %(route)s AND key = %(key)s
  AND command_id = %(command_id)s AND lease_until = %(lease_until)s AND state = 'in_flight'
"""


class IdempotencyStore:
    """Who carries out which request, and its answer.

    `secret` keys the request hash: bodies hold passwords, and a plain hash of one could be guessed from
    a copy of the table. Kept answers are sealed under a key derived from it: they may hold tokens.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        *,
        secret: bytes,
        new_id: Callable[[], str],
        lease_s: float = 10.0,
        kept_s: float = 86_400.0,
    ) -> None:
        self._pool = pool
        self._secret = secret
        self._new_id = new_id
        self._lease = timedelta(seconds=lease_s)
        self._kept = timedelta(seconds=kept_s)
        self._seal = AESGCM(hmac.digest(secret, b"idempotent-answer", "sha256"))

    def request_hash(self, *parts: bytes) -> bytes:
        """Keyed hash of what makes two requests the same one."""
        digest = hmac.new(self._secret, b"idempotent-request", hashlib.sha256)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()

    async def begin(
        self, principal: str, route: str, key: str, request_hash: bytes, now: datetime
    ) -> Claim | Replay:
        """Claims the request, or finds its answer.

        Raises IdempotencyKeyReused (other contents under this key) and RequestInFlight (somebody else
        is carrying it out).
        """
        place = {"principal": principal, "route": route, "key": key}
        claim = {
            **place,
            "request_hash": request_hash,
            "command_id": self._new_id(),
            "lease_until": now + self._lease,
            "now": now,
            "expires_at": now + self._kept,
        }
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            while True:
                won = await (await cursor.execute(_CLAIM, claim)).fetchone()
                if won is not None:
                    return Claim(principal, route, key, won["command_id"], won["lease_until"])
                kept = await (await cursor.execute(_LOOK, place)).fetchone()
                if kept is None:
                    continue  # swept in between: it is free now
                if not hmac.compare_digest(kept["request_hash"], request_hash):
                    raise IdempotencyKeyReused
                if kept["state"] == "done":
                    headers = msgspec.convert(kept["headers"], tuple[tuple[str, str], ...])
                    return Replay(kept["status"], headers, self._opened(kept["body"], place))
                raise RequestInFlight(retry_after_s=RETRY_AFTER_S)

    async def complete(self, claim: Claim, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Keeps the answer for whoever asks again."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._seal.encrypt(nonce, body, _bound_to(_place(claim)))
        await self._execute(
            _COMPLETE, {**_place(claim), "status": status, "headers": Jsonb(headers), "body": sealed}
        )

    def _opened(self, sealed: bytes, place: dict[str, Any]) -> bytes:
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return self._seal.decrypt(nonce, ciphertext, _bound_to(place))

    async def abandon(self, claim: Claim, now: datetime) -> None:
        """Gives the claim back at once.

        Key, contents and command id stay together: whether the command took effect is for the next
        handler to find out.
        """
        await self._execute(_ABANDON, {**_place(claim), "lease_until": claim.lease_until, "now": now})

    async def sweep(self, now: datetime) -> int:
        """Removes what is older than its time; returns how many."""
        return await self._execute("DELETE FROM ops.idempotency WHERE expires_at <= %(now)s", {"now": now})

    async def _execute(self, statement: str, values: dict[str, Any]) -> int:
        async with self._pool.connection() as connection:
            return (await connection.execute(statement, values)).rowcount


def _bound_to(place: dict[str, Any]) -> bytes:
    """A sealed answer opens in its own row only."""
    return msgspec.json.encode((place["principal"], place["route"], place["key"]))


def _place(claim: Claim) -> dict[str, Any]:
    return {
        "principal": claim.principal,
        "route": claim.route,
        "key": claim.key,
        "command_id": claim.command_id,
    }
