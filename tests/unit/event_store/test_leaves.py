"""Leaf hashes: the published form, and what each part of an event does to it."""

from hashlib import sha256

import pytest

from infra.event_store.leaves import leaf_hash

EVENT = {
    "stream_id": "attempt-0198f0a2-7b1c-7c3e-8d2f-0123456789ab",
    "version": 3,
    "type_": "attempt.started.v1",
    "meta": b'{"event_id":"0198f0a2-7b1c-7c3e-8d2f-0123456789ac"}',
    "event_id": "0198f0a2-7b1c-7c3e-8d2f-0123456789ac",
    "payload": b'{"ordinal":1}',
}


def test_a_leaf_is_the_hash_that_the_documents_describe():
    header = (
        b'["attempt-0198f0a2-7b1c-7c3e-8d2f-0123456789ab",3,"attempt.started.v1",'
        b'{"event_id":"0198f0a2-7b1c-7c3e-8d2f-0123456789ac"}]'
    )
    body = b'0198f0a2-7b1c-7c3e-8d2f-0123456789ac{"ordinal":1}'
    by_hand = sha256(b"\x00\x01" + sha256(header).digest() + sha256(body).digest())
    assert leaf_hash(**EVENT) == by_hand.digest()
    # Pinned: a checkpoint that was signed years ago is made of these.
    assert leaf_hash(**EVENT).hex() == "526df6cc0baa085a1b8018348f8178ce5a4d720fef72ce868fffe274483aef91"


@pytest.mark.parametrize(
    "change",
    [
        {"stream_id": "attempt-0198f0a2-7b1c-7c3e-8d2f-0123456789ad"},
        {"version": 4},
        {"type_": "attempt.started.v2"},
        {"meta": b"{}"},
        {"event_id": "0198f0a2-7b1c-7c3e-8d2f-0123456789ad"},
        {"payload": b'{"ordinal":2}'},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_changed_in_an_event_changes_its_leaf(change):
    assert leaf_hash(**{**EVENT, **change}) != leaf_hash(**EVENT)
