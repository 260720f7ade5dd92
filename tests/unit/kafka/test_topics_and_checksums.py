"""What must agree with Kafka to the bit: partitions and checksums."""

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as their_murmur2
from kafka.record import default_records
from kafka.record._crc32c import crc as their_crc32c

from domain.identifiers import CATEGORIES
from infra.kafka.checksums import crc32c, use_fast_checksums
from infra.kafka.topics import all_topics, category_in, murmur2, partition_of, topic_of


@given(st.binary(max_size=200))
def test_our_hash_is_the_one_that_kafkas_clients_use(data):
    assert murmur2(data) == their_murmur2(data) & 0xFFFF_FFFF


@given(st.text(min_size=1), st.integers(1, 100))
def test_a_key_has_one_partition_among_those_there_are(key, count):
    assert partition_of(key, count) == (their_murmur2(key.encode()) & 0x7FFF_FFFF) % count


@given(st.binary(max_size=300))
def test_our_checksum_is_the_librarys(data):
    assert crc32c(memoryview(bytearray(data))) == their_crc32c(data)


def test_the_library_is_made_to_use_our_checksum():
    use_fast_checksums()

    assert default_records.calc_crc32c is crc32c


def test_there_is_a_topic_for_every_category():
    assert set(all_topics("megacity")) == {f"megacity.{category}.v1" for category in CATEGORIES}


def test_the_topic_follows_from_the_stream_id_alone():
    assert topic_of("megacity", category_in("item_bank-019cabcd-0000-7000-8000-000000000001")) == (
        "megacity.item_bank.v1"
    )
