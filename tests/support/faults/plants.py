"""Logs and sequencers with a bug in them, for the tests of the tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, LiteralString

import psycopg

from commands.ports import EventLog, StreamAppend
from domain.errors import Unavailable
from domain.events import RecordedEvent
from domain.identifiers import StreamId
from infra.sequencer.leadership import Connection, Leadership
from infra.sequencer.statements import SEQUENCE
from tests.support.faults.load import product_log


class _Wrapped:
    """The application's log, told of through somebody who gets it wrong."""

    def __init__(self, log: EventLog, append: "Callable[[EventLog, Sequence[StreamAppend]], object]") -> None:
        self._log = log
        self._append = append

    async def load(self, stream_id: StreamId, after_version: int = 0) -> Sequence[RecordedEvent]:
        return await self._log.load(stream_id, after_version)

    async def append(self, appends: Sequence[StreamAppend]) -> None:
        await self._append(self._log, appends)  # type: ignore[misc]


@asynccontextmanager
async def acknowledges_before_the_commit(conninfo: str) -> AsyncIterator[EventLog]:
    under_way: set[asyncio.Task[None]] = set()

    async def append(log: EventLog, appends: Sequence[StreamAppend]) -> None:
        async def later() -> None:
            with suppress(Exception):  # the planted bug: nobody hears of it
                await log.append(appends)

        task = asyncio.create_task(later())
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        await asyncio.sleep(0.005)

    async with product_log(conninfo) as log:
        yield _Wrapped(log, append)


@asynccontextmanager
async def takes_every_refusal_for_success(conninfo: str) -> AsyncIterator[EventLog]:
    async def append(log: EventLog, appends: Sequence[StreamAppend]) -> None:
        try:
            await log.append(appends)
        except Unavailable:
            await asyncio.sleep(0.02)

    async with product_log(conninfo) as log:
        yield _Wrapped(log, append)


@asynccontextmanager
async def cannot_append_nothing(conninfo: str) -> AsyncIterator[EventLog]:
    async def append(log: EventLog, appends: Sequence[StreamAppend]) -> None:
        [*_, last] = [event for each in appends for event in each.events]
        del last
        await log.append(appends)

    async with product_log(conninfo) as log:
        yield _Wrapped(log, append)


# The same arguments as the function of migration 0030; what is wrong with each is in its name.

_SIGNATURE: LiteralString = """
CREATE OR REPLACE FUNCTION log.append(
    stream_ids text[], expected_versions bigint[], types text[],
    metas bytea[], payloads bytea[], leaves bytea[],
    more_stream_ids text[], more_versions bigint[], more_types text[], more_metas bytea[],
    more_payloads bytea[], more_leaves bytea[]
) RETURNS SETOF text LANGUAGE plpgsql SET search_path = pg_catalog AS
"""

FORGETS_WHAT_IT_HAS_SAVED: Final[LiteralString] = (
    _SIGNATURE
    + """ $$
BEGIN
    RETURN QUERY
    WITH head AS (
        INSERT INTO log.events AS written (stream_id, version, type, meta, payload, leaf)
        SELECT c.s, c.x + 1, c.t, c.m, c.p, c.l
        FROM unnest(stream_ids, expected_versions, types, metas, payloads, leaves) AS c(s, x, t, m, p, l)
        WHERE c.x = 0 OR (SELECT true FROM log.events p WHERE p.stream_id = c.s AND p.version = c.x)
        ORDER BY c.s COLLATE "C" ON CONFLICT (stream_id, version) DO NOTHING RETURNING written.stream_id
    ), more AS (
        INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
        SELECT c.s, c.v, c.t, c.m, c.p, c.l
        FROM unnest(more_stream_ids, more_versions, more_types, more_metas, more_payloads, more_leaves)
            AS c(s, v, t, m, p, l)
        JOIN head ON head.stream_id = c.s ORDER BY c.s COLLATE "C", c.v
    )
    SELECT s FROM unnest(stream_ids) s WHERE s NOT IN (SELECT head.stream_id FROM head);
END $$
"""
)

STORES_HALF_A_COMMAND: Final[LiteralString] = (
    _SIGNATURE
    + """ $$
BEGIN
    INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
    SELECT * FROM (
        SELECT c.s, c.x + 1, c.t, c.m, c.p, c.l
        FROM unnest(stream_ids, expected_versions, types, metas, payloads, leaves) AS c(s, x, t, m, p, l)
        UNION ALL
        SELECT c.s, c.v, c.t, c.m, c.p, c.l
        FROM unnest(more_stream_ids, more_versions, more_types, more_metas, more_payloads, more_leaves)
            AS c(s, v, t, m, p, l)
    ) every ORDER BY 1, 2 ON CONFLICT (stream_id, version) DO NOTHING;
    RETURN QUERY
    SELECT c.s FROM unnest(stream_ids, expected_versions, metas) AS c(s, x, m)
    WHERE (SELECT e.meta FROM log.events e WHERE e.stream_id = c.s AND e.version = c.x + 1)
        IS DISTINCT FROM c.m;
END $$
"""
)


def plant(conninfo: str, function: LiteralString) -> None:
    """Puts a wrong function in the place of the right one, in this database."""
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute(function)


# Sequencers that are thrown by append ids that a rollback has burnt.

_PLACED: Final[LiteralString] = (
    "SELECT last.last_position + row_number() OVER (ORDER BY found.append_id), found.append_id, found.leaf"
)
TAKES_APPEND_IDS_FOR_POSITIONS: Final[LiteralString] = SEQUENCE.replace(
    _PLACED, "SELECT found.append_id, found.append_id, found.leaf"
).replace("last.last_position + counted.events", "greatest(last.last_position, counted.last_append_id)")

_FRESH: Final[LiteralString] = "WHERE e.append_id > (SELECT last_append_id FROM last)\n"
WAITS_FOR_EVERY_APPEND_ID: Final[LiteralString] = SEQUENCE.replace(
    _FRESH,
    _FRESH
    + """ AND (SELECT count(*) FROM log.events b WHERE b.append_id <= e.append_id
               AND b.append_id > (SELECT last_append_id FROM last))
            = e.append_id - (SELECT last_append_id FROM last)
""",
)


class LeaseByTheServersClock(Leadership):
    """Judges the leader by how long ago it last did something, as the server's wall clock tells."""

    def _watch(self, connection: Connection) -> None:
        connection.execute(
            """
            SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND clock_timestamp() - a.state_change >= make_interval(secs => %s)
            """,
            [self._lease_s],
        )
