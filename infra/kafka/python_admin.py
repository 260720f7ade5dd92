"""The administrator of the port over kafka-python."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from kafka import TopicPartition as ClientPartition
from kafka import errors as client_errors
from kafka.admin import OffsetSpec

from infra.kafka.port import KafkaError, KafkaUnreachable, NewTopic, TopicPartition
from infra.kafka.python_errors import translated

_TOPIC_EXISTS: Final = client_errors.TopicAlreadyExistsError.errno
_NO_SUCH_TOPIC: Final = client_errors.UnknownTopicOrPartitionError.errno


class PythonAdmin:
    def __init__(self, client: Any) -> None:
        self._client = client

    def ensure_topics(self, topics: Iterable[NewTopic]) -> Mapping[str, int]:
        wanted = {topic.name: topic for topic in topics}
        there = self._partitions(wanted)
        missing = {name: topic for name, topic in wanted.items() if name not in there}
        if missing:
            self._create(missing)
            with translated():
                self._client.wait_for_topics(list(missing))
            there |= self._partitions(missing)
        return there

    def begins(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.EARLIEST)

    def ends(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.LATEST)

    def _offsets(self, partitions: Collection[TopicPartition], spec: Any) -> Mapping[TopicPartition, int]:
        counts = self._partitions({each.topic for each in partitions})
        asked = {
            ClientPartition(*each): spec for each in partitions if each.partition < counts.get(each.topic, 0)
        }
        if not asked:
            return {}
        with translated():
            answered = self._client.list_partition_offsets(asked)
        return {TopicPartition(*each): found.offset for each, found in answered.items()}

    def _partitions(self, topics: Collection[str]) -> dict[str, int]:
        """How many partitions those of the topics have that are there."""
        if not topics:
            return {}
        with translated():
            described = self._client.describe_topics(sorted(topics))
        found = {}
        for topic in described:
            if topic["error_code"] == 0 and topic["partitions"]:
                found[topic["name"]] = len(topic["partitions"])
            elif topic["error_code"] not in (0, _NO_SUCH_TOPIC):
                error = client_errors.for_code(topic["error_code"])
                raise KafkaUnreachable(f"{topic['name']} cannot be looked at: {error.__name__}")
        return found

    def _create(self, topics: Mapping[str, NewTopic]) -> None:
        with translated():
            answer = self._client.create_topics(
                {
                    topic.name: {
                        "num_partitions": topic.partitions,
                        "replication_factor": topic.replication_factor,
                        "configs": dict(topic.config),
                    }
                    for topic in topics.values()
                },
                raise_errors=False,
            )
        for topic in answer["topics"]:
            # Somebody else may have been faster.
            if topic["error_code"] not in (0, _TOPIC_EXISTS):
                error = client_errors.for_code(topic["error_code"])
                raise KafkaError(
                    f"the topic {topic['name']} cannot be made: {topic['error_message'] or error.__name__}"
                )
