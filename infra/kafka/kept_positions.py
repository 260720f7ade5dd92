"""How far a consumer has come in each partition, kept beside the effects."""

from typing import Any, Final

import psycopg

from infra.kafka.delivery import KeptPositionLost
from infra.kafka.port import TopicPartition

Connection = psycopg.Connection[dict[str, Any]]

_SELECT: Final = (
    "SELECT position FROM ops.consumer_partitions WHERE consumer = %s AND topic = %s AND partition = %s"
)


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


def hold(connection: Connection, consumer: str, partition: TopicPartition, after: int) -> int:
    """The position kept, held until the transaction ends; nobody else moves it so long.

    Raises `KeptPositionLost` where it is before `after`: whoever believes in `after` would leave a gap.
    """
    row = connection.execute(
        _SELECT + " FOR UPDATE", [consumer, partition.topic, partition.partition]
    ).fetchone()
    if row is None or row["position"] < after:
        raise KeptPositionLost
    return int(row["position"])


def keep(connection: Connection, consumer: str, partition: TopicPartition, after: int, position: int) -> None:
    """Moves on from `after`, which `hold` has found.

    Never back, as a second consumer of the partition may be ahead; and not over a gap, where the database
    came back from a backup since: then nothing is kept, and the next `hold` tells.
    """
    connection.execute(
        "UPDATE ops.consumer_partitions SET position = %s, updated_at = now()"
        " WHERE consumer = %s AND topic = %s AND partition = %s AND position >= %s AND position < %s",
        [position, consumer, partition.topic, partition.partition, after, position],
    )


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
