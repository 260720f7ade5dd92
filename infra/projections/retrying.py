"""Applies what was set aside, in order, within a transaction that holds the checkpoint."""

from infra.event_store.feed import EventFeed, UnreadableEvent
from infra.projections.checkpoints import ADVANCED_CHANNEL, Connection
from infra.projections.poison import Met, count_waiting, in_order, is_poison, kind_of, sentence
from projections.projection import Projection


def apply_waiting(connection: Connection, projection: Projection, feed: EventFeed, stream_id: str) -> int:
    """Applies what waits of a stream up to the first event that fails; answers how many were applied.

    When none fails the stream is no longer paused. One that fails keeps its place with the new error, and
    what is behind it goes on waiting. Raises the errors of outages: then the transaction must not commit.
    """
    waiting = connection.execute(
        "SELECT position FROM ops.set_aside_events"
        " WHERE projection = %s AND stream_id = %s AND status = 'waiting' ORDER BY position",
        [projection.name, stream_id],
    ).fetchall()
    applied: list[int] = []
    for row in waiting:
        error = _try(connection, projection, _read(feed, projection, row["position"]))
        if error is not None:
            _set_aside_again(connection, projection.name, row["position"], error)
            break
        applied.append(row["position"])
    _settle(connection, projection.name, applied, "applied")
    connection.execute("SELECT pg_notify(%s, %s)", [ADVANCED_CHANNEL, projection.name])
    return len(applied)


def leave_out(connection: Connection, name: str, position: int) -> None:
    """Skips one event that waits, for good; what has been settled already stays as it is."""
    _settle(connection, name, [position], "skipped")


def _try(connection: Connection, projection: Projection, event: Met | None) -> Exception | None:
    """What is to blame, or None where it was applied, or does not concern the projection any more."""
    match event:
        case None:
            return None
        case UnreadableEvent():
            if not is_poison(event.error):
                raise event.error
            return event.error
        case _:
            try:
                with connection.transaction(), connection.cursor() as cursor:
                    projection.apply(cursor, [event])
            except Exception as error:
                if connection.broken or not is_poison(error):
                    raise
                return error
            return None


def _read(feed: EventFeed, projection: Projection, position: int) -> Met | None:
    page = feed.read(position - 1, 1, projection.event_types, up_to=position)
    return next((each for each in in_order(page) if each.position == position), None)


def _set_aside_again(connection: Connection, name: str, position: int, error: Exception) -> None:
    connection.execute(
        "UPDATE ops.set_aside_events SET error = %s, error_kind = %s, attempts = attempts + 1, told = false"
        " WHERE projection = %s AND position = %s",
        [sentence(error), kind_of(error), name, position],
    )


def _settle(connection: Connection, name: str, positions: list[int], status: str) -> None:
    connection.execute(
        "UPDATE ops.set_aside_events SET status = %s, settled_at = now()"
        " WHERE projection = %s AND position = ANY (%s) AND status = 'waiting'",
        [status, name, positions],
    )
    count_waiting(connection, name)
