"""Hashes of secrets, apart from the event log: table `ops.credentials`.

Which credential is valid for whom is said by the log (the stream of the user or organisation names its
`credential_id`); the hash itself is never in it.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool


class CredentialConflict(Exception):
    """The credential id belongs to another subject already."""


class CredentialStore:
    def __init__(
        self, pool: AsyncConnectionPool[AsyncConnection[Any]], *, clock: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._clock = clock

    async def put(self, credential_id: str, subject_id: str, kind: str, hash_: str) -> None:
        """Keeps a hash; `kind` is `password` or `client_secret`.

        Doing it again (a command sent twice) keeps the first hash. Raises CredentialConflict when the id
        is another subject's.
        """
        async with self._pool.connection() as connection:
            done = await connection.execute(
                "INSERT INTO ops.credentials (credential_id, subject_id, kind, hash, created_at)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (credential_id) DO NOTHING",
                (credential_id, subject_id, kind, hash_, self._clock()),
            )
            if done.rowcount:
                return
            same = await connection.execute(
                "SELECT FROM ops.credentials WHERE credential_id = %s AND subject_id = %s AND kind = %s",
                (credential_id, subject_id, kind),
            )
            if not same.rowcount:
                raise CredentialConflict(credential_id)

    async def get(self, credential_id: str) -> str | None:
        """The hash, or None where there is no such credential."""
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT hash FROM ops.credentials WHERE credential_id = %s", (credential_id,)
            )
            row = await found.fetchone()
        return None if row is None else str(row[0])

    async def forget(self, credential_id: str) -> None:
        """Removes a hash; one that is not there is gone already."""
        async with self._pool.connection() as connection:
            await connection.execute("DELETE FROM ops.credentials WHERE credential_id = %s", (credential_id,))
