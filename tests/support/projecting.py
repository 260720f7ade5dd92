"""What must hold of every projection, whatever runner, rebuild or relay has kept it.

    assert broken_promises(connection, ItemAnalysisProjection(), story) == []

looks at the rows, the checkpoint and what was set aside, so it judges any implementation: ours, one with a
planted bug, one that was killed fifty times.
"""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import psycopg

from domain.events import PositionedEvent
from infra.projections.checkpoints import read_checkpoint
from infra.projections.poison import passed_over
from infra.projections.rebuild import fingerprint
from projections.projection import Projection
from tests.support.story import Story

Connection = psycopg.Connection[dict[str, Any]]


def eventually(condition: Callable[[], object], within_s: float = 20.0) -> None:
    gives_up_at = monotonic() + within_s
    while not condition():
        assert monotonic() < gives_up_at, "this did not come true in time"
        threading.Event().wait(0.01)


def broken_promises(connection: Connection, projection: Projection, story: Story) -> list[str]:
    """Exactly once: the rows are those of the log up to the checkpoint, without what is known to be left out.

    And nothing is left out silently: what is, can be looked up, and nothing else is missing.
    """
    checkpoint = read_checkpoint(connection, projection.name)
    position = 0 if checkpoint is None else checkpoint.position
    left_out = passed_over(connection, projection.name, position)
    events = [
        event for event in story.events if event.position <= position and event.position not in left_out
    ]
    found = fingerprint(connection, projection)
    try:
        expected = fingerprint_of(connection, projection, events)
    except Exception as error:  # noqa: BLE001 - whatever a projector raises is what is looked for
        return [f"an event up to {position} cannot be applied and is not set aside: {error}"]
    return [] if found == expected else [f"the rows are not those of the log up to {position}"]


def fingerprint_of(connection: Connection, projection: Projection, events: list[PositionedEvent]) -> str:
    """Of the rows that these events give, made in one go and thrown away again."""
    with connection.transaction(force_rollback=True):
        for table in projection.tables:
            connection.execute(f"DELETE FROM read.{table}")
        mine = [each for each in events if isinstance(each.recorded.event, projection.event_types)]
        if mine:
            with connection.cursor() as cursor:
                projection.apply(cursor, mine)
        return fingerprint(connection, projection)


def set_aside(connection: Connection, name: str) -> list[dict[str, Any]]:
    return connection.execute(
        "SELECT * FROM ops.set_aside_events WHERE projection = %s ORDER BY position", [name]
    ).fetchall()
