"""Leaf hashes: what the Merkle tree over the log is made of.

A leaf is `SHA-256(0x00 || 0x01 || SHA-256(header) || SHA-256(event id || payload))`: the leaf prefix of
RFC 6962 (section 2.1), a version byte of our own, and two hashes. The header tells where the event stands
and its metadata; the random event id in it keeps a leaf from being guessed. The payload has a hash of its
own, with the same id before it, so that a payload can be dropped and its leaf be kept and still be shown
to belong to its header.

A leaf does not depend on the event's position, so it is made when the event is encoded.
"""

from hashlib import sha256

LEAF_BYTES = 32

_PREFIX = b"\x00\x01"


def leaf_hash(  # noqa: PLR0913, PLR0917 - what an event consists of
    stream_id: str, version: int, type_: str, meta: bytes, event_id: str, payload: bytes
) -> bytes:
    """The leaf of an event as stored.

    `type_` is the stored type name; `meta` and `payload` are the stored bytes. Neither a stream id nor a
    type name holds a character that JSON would escape.
    """
    header = b'["%b",%d,"%b",%b]' % (stream_id.encode(), version, type_.encode(), meta)
    body = sha256(event_id.encode("ascii") + payload)
    return sha256(_PREFIX + sha256(header).digest() + body.digest()).digest()
