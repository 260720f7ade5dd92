"""PostgreSQL arrays in binary form, made in one pass.

psycopg dumps a list element by element, through a Python call for each. An append sends six arrays of up
to 128 elements, so that would be a good part of its cost.
"""

from collections.abc import Sequence
from itertools import chain, repeat
from struct import Struct
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from infra.event_store.line import BYTEA, BYTEA_ARRAY, INT8, INT8_ARRAY, TEXT, TEXT_ARRAY

# Dimensions, a flag for nulls, the element's type, the length, the lower bound.
_HEADER = Struct("!iiIii")
_EMPTY = Struct("!iiI")
_LENGTH = Struct("!i")
_INT8 = Struct("!iq")


class TextArray(bytes):
    """A `text[]` parameter for a cursor of psycopg."""


class Int8Array(bytes):
    """A `bigint[]` parameter for a cursor of psycopg."""


class ByteaArray(bytes):
    """A `bytea[]` parameter for a cursor of psycopg."""


def text_array(values: Sequence[str]) -> bytes:
    return _joined(TEXT, list(map(str.encode, values)))


def bytea_array(values: Sequence[bytes]) -> bytes:
    return _joined(BYTEA, values)


def int8_array(values: Sequence[int]) -> bytes:
    if not values:
        return _EMPTY.pack(0, 0, INT8)
    return _HEADER.pack(1, 0, INT8, len(values), 1) + b"".join(map(_INT8.pack, repeat(8), values))


def register_arrays(connection: psycopg.AsyncConnection[Any] | psycopg.Connection[Any]) -> None:
    for cls, dumper in ((TextArray, _TextArrays), (Int8Array, _Int8Arrays), (ByteaArray, _ByteaArrays)):
        connection.adapters.register_dumper(cls, dumper)


def _joined(element_type: int, values: Sequence[bytes]) -> bytes:
    if not values:
        return _EMPTY.pack(0, 0, element_type)
    lengths = map(_LENGTH.pack, map(len, values))
    elements = chain.from_iterable(zip(lengths, values, strict=True))
    # In one go: a batch of payloads is large, and a second copy of it costs as much as all the rest.
    return b"".join(chain((_HEADER.pack(1, 0, element_type, len(values), 1),), elements))


class _Arrays(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer | None:
        return obj  # type: ignore[no-any-return] # already what the server reads


class _TextArrays(_Arrays):
    oid = TEXT_ARRAY


class _Int8Arrays(_Arrays):
    oid = INT8_ARRAY


class _ByteaArrays(_Arrays):
    oid = BYTEA_ARRAY
