"""A projection that shows every fault of its feed: it adds up, so one event too many stays visible."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final, LiteralString

import psycopg
from psycopg.rows import dict_row

from domain.events import Event, PositionedEvent
from domain.users.events import ProfileChanged, RoleGranted, UserRegistered
from infra.composition import event_codec
from infra.event_store.log_feed import LogFeed
from infra.postgres.roles import PROJECTOR, role_conninfo
from infra.projections.runner import ProjectionRunner
from projections.projection import Cursor, Projection
from tests.support.postgres import ROLE_SECRET

_TABLE: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS read.tally (
    stream_id     text COLLATE "C" PRIMARY KEY,
    events        bigint NOT NULL,
    last_version  bigint NOT NULL,
    last_position bigint NOT NULL,
    disordered    bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON read.tally TO megacity_projector;
"""

# Not idempotent on purpose: what is applied twice is counted twice.
_ADD: Final[LiteralString] = """
INSERT INTO read.tally AS t (stream_id, events, last_version, last_position, disordered)
VALUES (%(stream)s, 1, %(version)s, %(position)s, (%(version)s <> 1)::integer)
ON CONFLICT (stream_id) DO UPDATE SET
    events = t.events + 1,
    disordered = t.disordered
        + (excluded.last_version <> t.last_version + 1 OR excluded.last_position <= t.last_position)::integer,
    last_version = excluded.last_version,
    last_position = excluded.last_position
"""

CHECK_TALLY: Final[LiteralString] = """
SELECT coalesce(l.stream_id, t.stream_id), l.events, t.events, l.version, t.last_version, t.disordered
FROM (
    SELECT e.stream_id, count(*) AS events, max(e.version) AS version
    FROM log.events e JOIN log.positions p USING (append_id)
    WHERE e.stream_id LIKE 'user-%' GROUP BY 1
) l
FULL JOIN read.tally t USING (stream_id)
WHERE l.events IS DISTINCT FROM t.events OR l.version IS DISTINCT FROM t.last_version OR t.disordered <> 0
"""
"""Streams whose row is not what the log says; to be asked once the projection is at the head."""


class Tally:
    """Events of each stream of a person, counted."""

    name: ClassVar[str] = "tally"
    version: ClassVar[int] = 1
    tables: ClassVar[tuple[str, ...]] = ("tally",)
    event_types: ClassVar[tuple[type[Event], ...]] = (UserRegistered, ProfileChanged, RoleGranted)

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        cursor.executemany(
            _ADD,
            [
                {
                    "stream": each.recorded.stream_id,
                    "version": each.recorded.version,
                    "position": each.position,
                }
                for each in events
            ],
        )


def make_tally(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute(_TABLE)


@contextmanager
def tallying(
    conninfo: str, *, projection: Projection | None = None, **settings: Any
) -> Iterator[ProjectionRunner]:
    """The projection (another one of its kind), kept by a runner of the application until the block ends."""
    make_tally(conninfo)
    as_projector = role_conninfo(conninfo, PROJECTOR, ROLE_SECRET)

    def connect() -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(as_projector, autocommit=True, row_factory=dict_row, connect_timeout=5)

    with LogFeed(as_projector, event_codec()) as feed:
        runner = ProjectionRunner(projection or Tally(), feed, connect, poll_interval_s=0.05, **settings)
        runner.start()
        try:
            yield runner
        finally:
            assert runner.stop()
