"""What the broker holds, against what the relay knows to have sent.

A broker may come back without its latest messages, or with none at all, or another may stand in its place. It
is asked for the last messages of each partition; the positions in them say how far it goes.

What a broker loses is the end of a partition. So when the relay's last acknowledged event is there, all
before it is there too, or was and has expired. Behind it there may be more, which was not acknowledged: it
proves nothing, as it may have been sent after the loss and before anybody noticed. So it is looked past.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

from infra.event_store.stored_log import StoredLog
from infra.kafka.port import (
    Admin,
    Consumer,
    Kafka,
    KafkaError,
    KafkaUnreachable,
    Message,
    TopicPartition,
)
from infra.kafka.relay_state import Progress
from infra.kafka.relayed import position_in
from infra.kafka.topics import category_in, partition_of, topic_of

LOOKING_TIMEOUT_S: Final = 20.0
"""Without anything to be read."""
_LOOKED_BACK: Final = 1_000


class BrokerIsAhead(KafkaError):
    """Kafka holds positions that the log does not have.

    The log was restored from an older state, or the topics belong to another log: events with other contents
    would get the same positions.
    """


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a partition.

    Attributes:
        end: the offset that the next message will get.
        last: the last message, or None where there is none (yet, or any more).
    """

    end: int
    last: Message | None

    @property
    def position(self) -> int:
        """Of the last message; 0 where there is none, or one that is not ours."""
        return 0 if self.last is None else position_in(self.last) or 0


def tails(kafka: Kafka, admin: Admin, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Tail]:
    """The ends of those of the partitions that exist. Raises `KafkaUnreachable`."""
    begins, ends = admin.begins(partitions), admin.ends(partitions)
    # An end may be told too low (Tansu) and never too high: from there on it is read.
    places = {each: max(begins[each], ends[each] - 1) for each in begins.keys() & ends.keys()}
    last: dict[TopicPartition, Message] = {}

    def remember(message: Message) -> None:
        last[message.topic_partition] = message

    with kafka.consumer() as consumer:
        found = _read_to_the_end(consumer, places, remember)
    return {partition: Tail(end, last.get(partition)) for partition, end in found.items()}


def held(
    kafka: Kafka, ends: Mapping[TopicPartition, Tail], sent: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int | None]:
    """Of each partition, how far it holds what was acknowledged up to the position in `sent`.

    None where all of it has expired: nobody knows. A partition that ends in something which is not ours
    counts as empty.
    """
    found: dict[TopicPartition, int | None] = {}
    for partition, acknowledged in sent.items():
        tail = ends.get(partition)
        if tail is None:
            found[partition] = 0
        elif tail.last is None:
            found[partition] = 0 if tail.end == 0 else None
        elif tail.position <= acknowledged:
            found[partition] = tail.position
        else:
            found[partition] = _last_up_to(kafka, partition, tail.end, acknowledged)
    return found


def lost_after(progress: Progress, there: Mapping[TopicPartition, int | None]) -> int | None:
    """The position up to which the broker holds everything that it was sent; None where nothing is lost."""
    short = [
        position
        for partition, sent in progress.latest.items()
        if (position := there[partition]) is not None and position < sent
    ]
    return min(short, default=None)


def refuse_foreign(ends: Mapping[TopicPartition, Tail], head: int) -> None:
    """Raises `BrokerIsAhead` where a partition goes beyond the log."""
    for partition, tail in ends.items():
        if tail.position > head:
            raise BrokerIsAhead(
                f"{partition.topic} holds position {tail.position}, but the log ends at {head}: it is of "
                "another log or of a later state of this one. Choose another MEGACITY_KAFKA__TOPIC_PREFIX, "
                "or remove the topics; then the log is relayed anew"
            )


def rewound(progress: Progress, to: int, prefix: str, log: StoredLog) -> Progress:
    """The progress as it was at an earlier position.

    Most partitions had then what they have now, or nothing; for the others the log is read backwards until
    the last event of each is found.
    """
    latest = {partition: sent for partition, sent in progress.latest.items() if sent <= to}
    wanted = progress.latest.keys() - latest.keys()
    for position, stream_id in log.streams_down_from(to) if wanted else ():
        topic = topic_of(prefix, category_in(stream_id))
        partition = TopicPartition(topic, partition_of(stream_id, progress.counts[topic]))
        if partition in wanted:
            latest[partition] = position
            wanted -= {partition}
            if not wanted:
                break
    return Progress(to, latest, progress.counts)


def _last_up_to(kafka: Kafka, partition: TopicPartition, end: int, position: int) -> int | None:
    """The last position in the partition that is not beyond the one given. Reads backwards, ever further."""
    with kafka.consumer() as consumer, kafka.admin() as admin:
        begin = admin.begins([partition]).get(partition, 0)
        back = _LOOKED_BACK
        while True:
            found: list[int] = []
            start = max(begin, end - back)
            _read_to_the_end(consumer, {partition: start}, lambda each: found.append(position_in(each) or 0))  # noqa: B023 - called at once
            if up_to := [each for each in found if each <= position]:
                return up_to[-1]
            if start == begin:
                return None if begin > 0 else 0
            back *= 10


def _read_to_the_end(
    consumer: Consumer, places: Mapping[TopicPartition, int], take: Callable[[Message], None]
) -> dict[TopicPartition, int]:
    """Reads from these offsets on; answers with the ends. Raises `KafkaUnreachable`."""
    waiting = set(places)
    found: dict[TopicPartition, int] = {}
    gives_up_at = monotonic() + LOOKING_TIMEOUT_S
    consumer.assign(waiting)
    for partition, offset in places.items():
        consumer.seek(partition, offset)
    while waiting:
        if monotonic() > gives_up_at:
            raise KafkaUnreachable(f"the end of {len(waiting)} partitions could not be read")
        if messages := consumer.poll(0.1, 5_000):
            gives_up_at = monotonic() + LOOKING_TIMEOUT_S
        for message in messages:
            take(message)
        for each in list(waiting):
            end = consumer.high_water(each)
            if end is not None and consumer.position(each) >= end:
                found[each] = end
                waiting.discard(each)
                consumer.pause([each])
    return found
