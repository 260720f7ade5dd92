"""Which topic and partition an event goes to: `<prefix>.<category>.v1`, by the hash of its stream id.

The partition is a function of the stream id and the number of partitions alone. It is Kafka's own (murmur2,
as its clients do by default), so that what others key by stream id lands in the partition of the same number.
"""

from typing import Final

from domain.identifiers import CATEGORIES

TOPIC_VERSION: Final = "v1"


def topic_of(prefix: str, category: str) -> str:
    return f"{prefix}.{category}.{TOPIC_VERSION}"


def all_topics(prefix: str) -> list[str]:
    """A topic for every category there is, used or not."""
    return [topic_of(prefix, category) for category in sorted(CATEGORIES)]


def category_in(stream_id: str) -> str:
    """What stands before the first hyphen; also of categories that only a later release knows."""
    return stream_id.partition("-")[0]


def partition_of(key: str, count: int) -> int:
    """The partition, from 0, that messages with this key go to where there are `count` of them."""
    return (murmur2(key.encode()) & 0x7FFF_FFFF) % count


def murmur2(data: bytes) -> int:
    """MurmurHash2 (Austin Appleby), 32 bits, with the seed of Kafka's default partitioner."""
    multiplier, mask = 0x5BD1_E995, 0xFFFF_FFFF
    whole = len(data) & ~3
    hash_ = 0x9747_B28C ^ len(data)
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        hash_ = hash_ * multiplier & mask ^ word
    if rest := data[whole:]:
        hash_ = (hash_ ^ int.from_bytes(rest, "little")) * multiplier & mask
    hash_ = (hash_ ^ hash_ >> 13) * multiplier & mask
    return hash_ ^ hash_ >> 15
