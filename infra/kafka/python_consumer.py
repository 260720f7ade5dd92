"""The consumer of the port over kafka-python."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from kafka import ConsumerRebalanceListener
from kafka import TopicPartition as ClientPartition
from kafka import errors as client_errors
from kafka.structs import OffsetAndMetadata

from infra.kafka.port import KafkaUnreachable, Message, OnPartitions, TopicPartition
from infra.kafka.python_errors import translated

JOINING_TIMEOUT_S: Final = 1.0
"""Polls are longer while a group is joined: a join that ends between two of them would be begun anew."""
COMMIT_TIMEOUT_S: Final = 2.0
"""A hint is not worth standing still for while no broker answers."""
END_TIMEOUT_S: Final = 1.0


class PythonConsumer:
    def __init__(self, client: Any) -> None:
        self._client = client
        self._rebalances: deque[tuple[OnPartitions, list[TopicPartition]]] = deque()

    def subscribe(
        self, topics: Collection[str], *, on_assigned: OnPartitions, on_revoked: OnPartitions
    ) -> None:
        # The library calls from its own I/O thread; the callbacks are the reader's business.
        listener = _Rebalances(
            lambda partitions: self._rebalances.append((on_assigned, partitions)),
            lambda partitions: self._rebalances.append((on_revoked, partitions)),
        )
        self._client.subscribe(topics=sorted(topics), listener=listener)

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        self._client.assign([ClientPartition(*each) for each in partitions])

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(*each) for each in self._client.assignment()}

    def poll(self, timeout_s: float, max_messages: int = 500) -> list[Message]:
        if self._goes_on_joining():
            timeout_s = max(timeout_s, JOINING_TIMEOUT_S)
        with translated():
            fetched = self._client.poll(timeout_ms=timeout_s * 1000, max_records=max_messages)
        while self._rebalances:
            tell, partitions = self._rebalances.popleft()
            tell(partitions)
        return [
            Message(
                record.topic,
                record.partition,
                record.offset,
                record.timestamp,
                record.key,
                record.value,
                {name: bytes(value) for name, value in record.headers if value is not None},
            )
            for records in fetched.values()
            for record in records
        ]

    def _goes_on_joining(self) -> bool:
        """Whether the group is being joined, which then is seen through.

        A join that outlasts a poll goes on by itself. Where it began because topics have come, the library
        forgets the reason on the way: no later poll asks for the result, and the member, which sends no
        heartbeats meanwhile, stays without partitions for good.
        """
        coordinator = self._client._coordinator  # noqa: SLF001 - nothing else tells or helps
        joining: bool = coordinator.rejoining
        if joining:
            coordinator.request_rejoin()
        return joining

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._client.seek(ClientPartition(*partition), offset)

    def seek_to_beginning(self, partitions: Collection[TopicPartition]) -> None:
        if partitions:
            self._client.seek_to_beginning(*(ClientPartition(*each) for each in partitions))

    def position(self, partition: TopicPartition) -> int:
        with translated():
            position: int | None = self._client.position(ClientPartition(*partition))
        if position is None:
            raise KafkaUnreachable(f"{partition} has no position yet")
        return position

    def high_water(self, partition: TopicPartition) -> int | None:
        try:
            known: int | None = self._client.highwater(ClientPartition(*partition))
        except client_errors.IllegalStateError:
            return None  # taken away a moment ago, by the library's own thread
        return self._asked_for(partition) if known is None else known

    def _asked_for(self, partition: TopicPartition) -> int | None:
        """What a broker says once in a session it says no more until a message comes.

        The library throws an answer away that came as the partition was given to us anew, and would then
        know nothing of one to which nothing comes.
        """
        asked = ClientPartition(*partition)
        try:
            end: int | None = self._client.end_offsets([asked], timeout_ms=END_TIMEOUT_S * 1000).get(asked)
        except client_errors.KafkaError:
            return None
        return end

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._client.pause(*(ClientPartition(*each) for each in partitions))

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._client.resume(*(ClientPartition(*each) for each in partitions))

    def committed(self, partition: TopicPartition) -> int | None:
        with translated():
            offset: int | None = self._client.committed(ClientPartition(*partition))
        return offset

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        with translated():
            self._client.commit(
                {
                    ClientPartition(*each): OffsetAndMetadata(offset, "", -1)
                    for each, offset in offsets.items()
                },
                timeout_ms=COMMIT_TIMEOUT_S * 1000,
            )


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc] # the library has no types
    def __init__(
        self,
        assigned: Callable[[list[TopicPartition]], None],
        revoked: Callable[[list[TopicPartition]], None],
    ) -> None:
        self._assigned = assigned
        self._revoked = revoked

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._assigned([TopicPartition(*each) for each in assigned])

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._revoked([TopicPartition(*each) for each in revoked])
