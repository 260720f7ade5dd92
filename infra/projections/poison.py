"""Poison: events that a projection cannot apply or read, and how it goes on without them.

Such an event is set aside with its error, in the transaction that moves the checkpoint past it. What follows
it in its stream is set aside too, in order, since it may build on it; all other streams go on. So the rows
are always those of the log without the positions that `passed_over` names, and nothing is left out silently.

An outage is something else: where the database is away, full or forbids something, every event would fail.
Then nothing is set aside and everything is tried again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, TypeAlias

import psycopg

from domain.errors import Unavailable
from domain.events import PositionedEvent
from infra.event_store.feed import FeedPage, UnreadableEvent
from infra.observability.database_errors import told
from infra.projections.checkpoints import CheckpointMoved, Connection
from projections.projection import Projection

MOST_PAUSED_STREAMS: Final = 1_000
"""Beyond this the fault lies with the release, not with the events: the projection halts."""

_ERROR_LENGTH: Final = 2_000
# Classes of SQLSTATE that depend on the data: no data, cardinality, data exceptions, constraints, triggers,
# check options, limits of the program (a key too long for its index), errors that functions raise.
_DATA_CLASSES: Final = frozenset({"20", "21", "22", "23", "27", "44", "54", "P0"})


@dataclass(frozen=True, slots=True)
class SetAside:
    """One event that is left out; without an error it only waits behind another of its stream."""

    position: int
    stream_id: str
    version: int
    type: str
    error: str | None = None
    error_kind: str | None = None


Met: TypeAlias = PositionedEvent | UnreadableEvent


def in_order(page: FeedPage) -> list[Met]:
    """What can be read and what cannot, as it stands in the log."""
    return sorted([*page.events, *page.unreadable], key=attrgetter("position"))


def is_poison(error: BaseException) -> bool:
    """Whether the event is to blame: it would fail again, and others need not."""
    match error:
        case psycopg.Error() if error.sqlstate is not None:
            return error.sqlstate[:2] in _DATA_CLASSES
        case psycopg.Error():
            # Found by the client itself: a NUL in a text, a value of no type that the database has.
            return isinstance(error, psycopg.DataError | psycopg.ProgrammingError | psycopg.NotSupportedError)
        # `Unavailable` is also an event of a newer release: that release runs, and knows what to do with it.
        case Unavailable() | OSError() | MemoryError() | CheckpointMoved() | TooMuchPoison():
            return False
        case _:
            return isinstance(error, Exception)


def kind_of(error: BaseException) -> str:
    """The error's class and code, which quote nothing of the event."""
    name = type(error).__name__
    code = error.sqlstate if isinstance(error, psycopg.Error) else getattr(type(error), "code", None)
    return f"{name} ({code})" if code else name


def sentence(error: BaseException) -> str:
    return told(error)[:_ERROR_LENGTH]


def poisoned(event: Met, error: BaseException) -> SetAside:
    return _aside(event, sentence(error), kind_of(error))


def paused_streams(connection: Connection, name: str) -> set[str]:
    """The streams of which something is set aside and waits."""
    rows = connection.execute(
        "SELECT DISTINCT stream_id FROM ops.set_aside_events WHERE projection = %s AND status = 'waiting'",
        [name],
    ).fetchall()
    return {row["stream_id"] for row in rows}


def passed_over(connection: Connection, name: str, up_to: int | None = None) -> frozenset[int]:
    """Positions, up to one, that the projection's rows do not hold although its checkpoint is past them.

    Whoever derives the rows anew leaves these out: what waits, since it is set aside still, and what was
    skipped, for good. Read it in the snapshot (or under the lock of the checkpoint) in which the rows are
    read or replaced: a `retry` takes positions away.
    """
    rows = connection.execute(
        "SELECT position FROM ops.set_aside_events WHERE projection = %s AND status <> 'applied'"
        " AND (%s::bigint IS NULL OR position <= %s)",
        [name, up_to, up_to],
    ).fetchall()
    return frozenset(row["position"] for row in rows)


def apply_page(
    connection: Connection, projection: Projection, page: FeedPage, paused: set[str], *, bisect: bool
) -> list[SetAside]:
    """Applies what can be applied, in the caller's transaction; what cannot is returned, in order.

    Args:
        connection: within a transaction that holds the checkpoint.
        projection: whose rows are written.
        page: what comes next in the log.
        paused: the streams that wait; grows by those of the poison that is found.
        bisect: find the events that fail. Without it an error is raised, which costs nothing while there
            is none.
    """
    aside: list[SetAside] = []
    events: Sequence[PositionedEvent] = page.events
    if page.unreadable or paused:
        events = []
        for event in in_order(page):
            if _stream_of(event) in paused:
                aside.append(_aside(event))
            elif isinstance(event, UnreadableEvent):
                paused.add(event.stream_id)
                aside.append(poisoned(event, event.error))
            else:
                events.append(event)
    if bisect:
        _apply_around(connection, projection, events, paused, aside)
    elif events:
        with connection.cursor() as cursor:
            projection.apply(cursor, events)
    return sorted(aside, key=lambda each: each.position)


def keep_aside(connection: Connection, name: str, aside: Sequence[SetAside], paused: set[str]) -> None:
    """Notes what is set aside, in the transaction that moves the checkpoint past it.

    Raises `TooMuchPoison`, and then the transaction must not commit.
    """
    if len(paused) > MOST_PAUSED_STREAMS:
        first = next((each for each in aside if each.error is not None), None)
        raise TooMuchPoison(name, len(paused), first)
    connection.execute(
        """
        INSERT INTO ops.set_aside_events
            (projection, position, stream_id, version, type, error, error_kind, attempts, told)
        SELECT %s, each.*, (each.error IS NOT NULL)::integer, each.error IS NULL
        FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[])
            AS each (position, stream_id, version, type, error, error_kind)
        """,
        [
            name,
            [each.position for each in aside],
            [each.stream_id for each in aside],
            [each.version for each in aside],
            [each.type for each in aside],
            [each.error for each in aside],
            [each.error_kind for each in aside],
        ],
    )
    count_waiting(connection, name)


def count_waiting(connection: Connection, name: str) -> None:
    """Brings the checkpoint's count up to date, by which batches know that there is nothing to look for."""
    connection.execute(
        """
        UPDATE ops.projections SET set_aside = (
            SELECT count(*) FROM ops.set_aside_events e WHERE e.projection = name AND e.status = 'waiting'
        ) WHERE name = %s
        """,
        [name],
    )


def _apply_around(
    connection: Connection,
    projection: Projection,
    events: Sequence[PositionedEvent],
    paused: set[str],
    aside: list[SetAside],
) -> None:
    """Halves what fails until the event that fails stands alone: few tries for one among many."""
    going = [event for event in events if event.recorded.stream_id not in paused]
    aside += [_aside(event) for event in events if event.recorded.stream_id in paused]
    if not going:
        return
    try:
        with connection.transaction(), connection.cursor() as cursor:
            projection.apply(cursor, going)
    except Exception as error:
        if connection.broken or not is_poison(error):
            raise
        if len(going) == 1:
            paused.add(going[0].recorded.stream_id)
            aside.append(poisoned(going[0], error))
            return
    else:
        return
    middle = len(going) // 2
    _apply_around(connection, projection, going[:middle], paused, aside)
    _apply_around(connection, projection, going[middle:], paused, aside)


def _stream_of(event: Met) -> str:
    return event.stream_id if isinstance(event, UnreadableEvent) else event.recorded.stream_id


def _aside(event: Met, error: str | None = None, error_kind: str | None = None) -> SetAside:
    if isinstance(event, UnreadableEvent):
        return SetAside(event.position, event.stream_id, event.version, event.type, error, error_kind)
    recorded = event.recorded
    type_ = recorded.event.type_.stored_name
    return SetAside(event.position, recorded.stream_id, recorded.version, type_, error, error_kind)


class TooMuchPoison(Exception):
    """So many streams cannot be applied that the release must be at fault: the projection halts instead."""

    def __init__(self, name: str, streams: int, first: SetAside | None) -> None:
        of_first = "" if first is None else f"; the first at {first.position}: {first.error}"
        super().__init__(f"{name} would set aside {streams} streams{of_first}")
