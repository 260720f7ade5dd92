"""How far a consumer has come in each partition, kept beside the effects."""

from typing import Any, Final, LiteralString

import psycopg

from infra.kafka.port import TopicPartition

Connection = psycopg.Connection[dict[str, Any]]

_SELECT: Final = (
    "SELECT position FROM ops.consumer_partitions WHERE consumer = %s AND topic = %s AND partition = %s"
)
_COMPLETE_TO: Final[LiteralString] = """
    SELECT min(
        CASE WHEN c.position >= p.position THEN r.position ELSE coalesce(c.position, 0) END
    ) AS position
    FROM ops.relays r
    JOIN ops.relay_partitions p ON p.relay = r.name
    LEFT JOIN ops.consumer_partitions c
        ON c.topic = p.topic AND c.partition = p.partition AND c.consumer = %s
    WHERE r.name = %s
        AND p.topic IN (SELECT topic FROM ops.consumer_partitions WHERE consumer = %s)
"""


def read_or_begin(connection: Connection, consumer: str, partition: TopicPartition, begin_after: int) -> int:
    """The position kept; where there is none yet, `begin_after` is kept from now on."""
    connection.execute(
        "INSERT INTO ops.consumer_partitions (consumer, topic, partition, position) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        [consumer, partition.topic, partition.partition, begin_after],
    )
    row = connection.execute(_SELECT, [consumer, partition.topic, partition.partition]).fetchone()
    assert row is not None
    return int(row["position"])


def keep(connection: Connection, consumer: str, partition: TopicPartition, after: int, position: int) -> bool:
    """Moves on from `after`, where the consumer believes to be.

    Never back, as a second consumer of the partition may be ahead; and not over a gap: False, and nothing
    moves, where the position kept is before `after`, as the database came back from a backup, say.
    """
    moved = connection.execute(
        "UPDATE ops.consumer_partitions SET position = %s, updated_at = now()"
        " WHERE consumer = %s AND topic = %s AND partition = %s AND position >= %s AND position < %s",
        [position, consumer, partition.topic, partition.partition, after, position],
    )
    if moved.rowcount:
        return True
    row = connection.execute(_SELECT, [consumer, partition.topic, partition.partition]).fetchone()
    return row is not None and row["position"] >= after


def complete_to(connection: Connection, consumer: str, relay: str) -> int:
    """Everything up to this position of the log has taken effect, in whichever partition it came.

    A partition that has all that the relay has sent to it is complete up to where the relay is. 0 where the
    consumer has begun with none of them.
    """
    row = connection.execute(_COMPLETE_TO, [consumer, relay, consumer]).fetchone()
    return 0 if row is None or row["position"] is None else int(row["position"])


def kept_everywhere(connection: Connection, consumer: str) -> dict[TopicPartition, int]:
    """The positions kept, of all partitions that the consumer has begun with."""
    rows = connection.execute(
        "SELECT topic, partition, position FROM ops.consumer_partitions WHERE consumer = %s", [consumer]
    ).fetchall()
    return {TopicPartition(row["topic"], row["partition"]): int(row["position"]) for row in rows}


def sent_to(connection: Connection, relay: str) -> dict[TopicPartition, int]:
    """The last event in each partition that the broker has acknowledged to the relay of this name."""
    rows = connection.execute(
        "SELECT topic, partition, position FROM ops.relay_partitions WHERE relay = %s", [relay]
    ).fetchall()
    return {TopicPartition(row["topic"], row["partition"]): int(row["position"]) for row in rows}


def relayed_with(connection: Connection, relay: str) -> dict[str, int]:
    """The numbers of partitions that the relay of this name insists on, by topic."""
    rows = connection.execute(
        "SELECT topic, partitions FROM ops.relay_topics WHERE relay = %s", [relay]
    ).fetchall()
    return {row["topic"]: int(row["partitions"]) for row in rows}
