"""How large the log is, what it is made of, and how fast it grows."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec

from infra.log_reading.scan import Connection, head_of

WINDOWS: Final = {"last minute": 60, "last hour": 3600, "last day": 86_400}


@dataclass(frozen=True)
class OfType:
    """The events of one stored type; `bytes` counts metadata and payload."""

    type: str
    events: int
    bytes: int
    first_position: int | None
    last_position: int | None

    @property
    def category(self) -> str:
        return self.type.partition(".")[0]


@dataclass(frozen=True)
class LogFigures:
    head: int
    events: int
    unsequenced: int
    bytes_on_disk: int
    """Tables and indexes."""
    per_second: dict[str, float]
    """Events a second over each of `WINDOWS`."""
    lags: dict[str, int]
    """Events that each projection is behind the head."""
    types: list[OfType]

    def as_json(self) -> bytes:
        return msgspec.json.encode(asdict(self))


def figures(connection: Connection, now: datetime) -> LogFigures:
    """Reads every row's header once: seconds per million events. Rows as tuples."""
    rows = connection.execute(
        """SELECT e.type, count(*), coalesce(sum(octet_length(e.meta) + octet_length(e.payload)), 0)::bigint,
                  min(p.position), max(p.position), count(*) FILTER (WHERE p.position IS NULL)
           FROM log.events e LEFT JOIN log.positions p USING (append_id)
           GROUP BY e.type ORDER BY e.type"""
    ).fetchall()
    size = connection.execute(
        "SELECT pg_total_relation_size('log.events') + pg_total_relation_size('log.positions')"
    ).fetchone()
    assert size is not None
    # The checkpoints first: a projection seen before the head can only look further behind.
    checkpoints = connection.execute("SELECT name, position FROM ops.projections ORDER BY name").fetchall()
    head = head_of(connection)
    return LogFigures(
        head=head,
        events=sum(row[1] for row in rows),
        unsequenced=sum(row[5] for row in rows),
        bytes_on_disk=size[0],
        per_second={
            name: (head - last_before(now - timedelta(seconds=seconds), head, _recorded_at(connection)))
            / seconds
            for name, seconds in WINDOWS.items()
        },
        lags={name: max(0, head - position) for name, position in checkpoints},
        types=[OfType(*row[:5]) for row in rows],
    )


def last_before(moment: datetime, head: int, recorded_at: Callable[[int], datetime | None]) -> int:
    """The last position recorded before a moment, by halving; 0 where there is none.

    Appends of several processes may stand a little out of the order of their clocks: good for a rate, not
    for finding each event. A position that nobody can read counts as old.
    """
    low, high = 0, head
    while low < high:
        middle = (low + high + 1) // 2
        found = recorded_at(middle)
        if found is None or found < moment:
            low = middle
        else:
            high = middle - 1
    return low


class _Metadata(msgspec.Struct):
    recorded_at: Annotated[datetime, msgspec.Meta(tz=True)]


def _recorded_at(connection: Connection) -> Callable[[int], datetime | None]:
    def look(position: int) -> datetime | None:
        row: Any = connection.execute(
            "SELECT e.meta FROM log.positions p JOIN log.events e USING (append_id) WHERE p.position = %s",
            [position],
            binary=True,
        ).fetchone()
        try:
            return None if row is None else msgspec.json.decode(row[0], type=_Metadata).recorded_at
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    return look
