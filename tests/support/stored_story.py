"""A story in the log's own tables, with positions, as append and sequencer leave it."""

import msgspec
import psycopg

from domain.events import Actor, PositionedEvent
from infra.composition import event_codec
from tests.support.story import Story


def store(conninfo: str, story: Story, *, after: int = 0) -> None:
    """Writes the events beyond a position, with the positions that they have in the story.

    `conninfo` is the administrator's.
    """
    codec = event_codec()
    with psycopg.connect(conninfo) as admin, admin.cursor() as cursor:
        for each in story.events[after:]:
            stored = codec.encode(each.recorded)
            cursor.execute(
                """WITH written AS (
                       INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
                       VALUES (%s, %s, %s, %s, %s, %s) RETURNING append_id, leaf)
                   INSERT INTO log.positions (position, append_id, leaf)
                   SELECT %s, append_id, leaf FROM written""",
                [
                    stored.stream_id,
                    stored.version,
                    stored.type,
                    stored.meta,
                    stored.payload,
                    stored.leaf,
                    each.position,
                ],
            )
        cursor.execute(
            """INSERT INTO log.batches (last_position, last_append_id, snapshot, system_id)
               SELECT max(position), max(append_id), pg_current_snapshot(),
                   (SELECT system_identifier FROM pg_control_system())
               FROM log.positions"""
        )


def with_metadata(event: PositionedEvent, **changes) -> PositionedEvent:
    """The same event, recorded otherwise; `actor` may be an id."""
    if isinstance(changes.get("actor"), str):
        changes["actor"] = Actor("user", changes["actor"])
    metadata = msgspec.structs.replace(event.recorded.metadata, **changes)
    return msgspec.structs.replace(event, recorded=msgspec.structs.replace(event.recorded, metadata=metadata))
