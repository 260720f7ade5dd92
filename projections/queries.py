"""What the queries of all read models share.

Queries run in a read-only transaction of the reader's role with the asker set (see
`infra.read_store`): what the asker may not see is not there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString, TypeAlias

import psycopg

Connection: TypeAlias = psycopg.AsyncConnection[dict[str, Any]]
Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]


async def one(
    connection: Connection, statement: LiteralString, parameters: Parameters
) -> dict[str, Any] | None:
    return await (await connection.execute(statement, parameters)).fetchone()


async def many(
    connection: Connection, statement: LiteralString, parameters: Parameters
) -> list[dict[str, Any]]:
    return await (await connection.execute(statement, parameters)).fetchall()
