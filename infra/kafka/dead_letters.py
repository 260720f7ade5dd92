"""Where consumers put what they have given up, with the reason."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import psycopg

from infra.kafka.port import MAX_MESSAGE_BYTES, Kafka, KafkaError, MessageTooLarge, NewTopic, Producer

DEAD_LETTER_SUFFIX: Final = ".dlq"
_AS_LARGE_AS_EVENTS: Final = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
_ACKNOWLEDGED_WITHIN_S: Final = 8.0
"""Less than a consumer has to end in. What is written twice then is a letter, which may come twice."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message as it came, or an event of the log by its place; who gave it up, and why.

    Attributes:
        consumer: who gave it up.
        topic: where it came from.
        partition: of the topic.
        offset: in the partition, where it came by a broker.
        position: in the log, where that is known.
        reason: what went wrong, in a sentence without what the message holds.
        attempts: how many times it was tried.
        key: the message's key, as it came.
        value: the message's value, as it came.
        headers: the message's headers, as they came.
        stream_id: the event's stream, where that is known.
        type: the stored type name, where that is known.
    """

    consumer: str
    topic: str
    partition: int
    reason: str
    attempts: int
    position: int | None = None
    offset: int | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: Mapping[str, bytes] = field(default_factory=dict)
    stream_id: str = ""
    type: str = ""


class DeadLetters(Protocol):
    def put(self, letter: DeadLetter) -> None:
        """Returns when the letter is kept for good. The same letter may come twice."""
        ...


class TopicDeadLetters:
    """Dead letters in a topic beside the one they came from: `<topic>.dlq`. For one thread.

    A letter is the message as it came, with the reason in headers that begin with `dlq_`: `error`,
    `consumer`, `attempts`, `topic`, `partition`, and where they are known `position` and `offset`. A value
    that no broker takes is left out (`dlq_value_left_out`): `offset` says where it lies.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._clients = ExitStack()
        self._producer: Producer | None = None
        self._topics: set[str] = set()

    def put(self, letter: DeadLetter) -> None:
        """Raises `KafkaError`; the next letter is tried with a fresh producer."""
        topic = letter.topic + DEAD_LETTER_SUFFIX
        headers = _headers(letter)
        try:
            self._send(topic, letter.key, letter.value, headers)
        except MessageTooLarge:
            self._send(topic, letter.key, None, {**headers, "dlq_value_left_out": b"true"})

    def close(self) -> None:
        self._producer = None
        self._clients.close()

    def _send(self, topic: str, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]) -> None:
        try:
            if topic not in self._topics:
                with self._kafka.admin() as admin:
                    admin.ensure_topics([NewTopic(topic, partitions=1, config=_AS_LARGE_AS_EVENTS)])
                self._topics.add(topic)
            if self._producer is None:
                self._producer = self._clients.enter_context(self._kafka.producer())
            self._producer.send(topic, key, value, list(headers.items()))
            self._producer.flush(_ACKNOWLEDGED_WITHIN_S)
        except KafkaError:
            self._topics.clear()
            self.close()
            raise


def _headers(letter: DeadLetter) -> dict[str, bytes]:
    reason = {
        "error": letter.reason,
        "consumer": letter.consumer,
        "attempts": letter.attempts,
        "topic": letter.topic,
        "partition": letter.partition,
        "position": letter.position,
        "offset": letter.offset,
        "stream_id": letter.stream_id or None,
        "type": letter.type or None,
    }
    ours = {f"dlq_{name}": str(each).encode() for name, each in reason.items() if each is not None}
    return {**letter.headers, **ours}


class TableDeadLetters:
    """Dead letters in a table: for consumers that read the log itself. The log keeps the event."""

    def __init__(self, connect: Callable[[], psycopg.Connection[dict[str, Any]]]) -> None:
        self._connect = connect

    def put(self, letter: DeadLetter) -> None:
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO ops.dead_letters (consumer, position, stream_id, type, error, attempts)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [
                    letter.consumer,
                    letter.position,
                    letter.stream_id,
                    letter.type,
                    letter.reason,
                    letter.attempts,
                ],
            )
