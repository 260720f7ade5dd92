"""PostgreSQL arrays in binary form, made in one pass.

psycopg dumps a list element by element, through a Python call for each. An append sends six arrays of up
to 128 elements, so that would be a good part of its cost.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_TEXT_OID, _INT8_OID, _BYTEA_OID = 25, 20, 17
# Dimensions, a flag for nulls, the element's type, the length, the lower bound.
_HEADER = Struct("!iiIii")
_EMPTY = Struct("!iiI")
_LENGTH = Struct("!i")
_INT8 = Struct("!iq")


class TextArray(bytes):
    """A `text[]` parameter."""


class Int8Array(bytes):
    """A `bigint[]` parameter."""


class ByteaArray(bytes):
    """A `bytea[]` parameter."""


def text_array(values: Sequence[str]) -> TextArray:
    return TextArray(_joined(_TEXT_OID, [value.encode() for value in values]))


def bytea_array(values: Sequence[bytes]) -> ByteaArray:
    return ByteaArray(_joined(_BYTEA_OID, values))


def int8_array(values: Sequence[int]) -> Int8Array:
    if not values:
        return Int8Array(_EMPTY.pack(0, 0, _INT8_OID))
    pack = _INT8.pack
    return Int8Array(
        _HEADER.pack(1, 0, _INT8_OID, len(values), 1) + b"".join([pack(8, value) for value in values])
    )


def register_arrays(connection: psycopg.AsyncConnection[Any] | psycopg.Connection[Any]) -> None:
    for cls, dumper in ((TextArray, _TextArrays), (Int8Array, _Int8Arrays), (ByteaArray, _ByteaArrays)):
        connection.adapters.register_dumper(cls, dumper)


def _joined(element_oid: int, values: Sequence[bytes]) -> bytes:
    if not values:
        return _EMPTY.pack(0, 0, element_oid)
    pack = _LENGTH.pack
    parts = [_HEADER.pack(1, 0, element_oid, len(values), 1)]
    for value in values:
        parts += (pack(len(value)), value)
    return b"".join(parts)


class _Arrays(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer | None:
        return obj  # type: ignore[no-any-return] # already what the server reads


class _TextArrays(_Arrays):
    oid = 1009


class _Int8Arrays(_Arrays):
    oid = 1016


class _ByteaArrays(_Arrays):
    oid = 1001
