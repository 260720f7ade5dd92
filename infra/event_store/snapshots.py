"""Snapshots of long streams in PostgreSQL, sealed for the person whom they describe."""

import asyncio
import inspect
from hashlib import sha256
from typing import Any, Self, TypeVar

import msgspec
import psycopg
import structlog

from commands.streams import Loaded, Owner, StreamKind
from domain.identifiers import StreamId
from infra.event_store.codec import PersonalCodec
from infra.event_store.connections import LogConnection, LogConnections
from infra.event_store.line import BYTEA, INT8, TEXT, Statement, int8

S = TypeVar("S")

WAITING_LIMIT = 100
"""Snapshots that wait to be stored; more are dropped: another comes a hundred events later."""

_LOAD = Statement(
    "load_snapshot",
    "SELECT version, state FROM log.snapshots"
    " WHERE stream_id = $1 AND type = $2 ORDER BY version DESC LIMIT 1",
    (TEXT, TEXT),
)
_CLEAR = Statement(
    "clear_snapshots", "DELETE FROM log.snapshots WHERE stream_id = $1 AND version <= $2", (TEXT, INT8)
)
_KEEP = Statement(
    "keep_snapshot",
    "INSERT INTO log.snapshots (stream_id, version, type, state) VALUES ($1, $2, $3, $4)"
    " ON CONFLICT DO NOTHING",
    (TEXT, INT8, TEXT, BYTEA),
)

_log = structlog.get_logger("snapshots")


class _Snapshot(msgspec.Struct, frozen=True):
    """`state` is JSON of the class that `of` names; sealed, where there is a person."""

    of: str
    owner: Owner
    person: StreamId | None
    state: Any


class PostgresSnapshots:
    """`commands.streams.Snapshots` over PostgreSQL; open it with `async with`, in the loop that uses it.

    A snapshot is stored under a fingerprint of the classes that it may be of and of the code that folds
    them: whoever changes either starts anew. What goes wrong here costs time and nothing else, so it is
    logged and never raised.
    """

    def __init__(self, conninfo: str, personal: PersonalCodec) -> None:
        self._personal = personal
        self._readers = LogConnections(conninfo, 2)
        self._writer = LogConnection(conninfo)
        self._waiting: asyncio.Queue[tuple[StreamId, int, str, bytes]] = asyncio.Queue(WAITING_LIMIT)
        self._types: dict[str, str] = {}
        self._storing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._storing = asyncio.create_task(self._store())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._storing is not None:
            self._storing.cancel()
            await asyncio.gather(self._storing, return_exceptions=True)
        await self._readers.close()
        await self._writer.close()

    async def load(self, kind: StreamKind[S], stream_id: StreamId) -> Loaded[S] | None:
        try:
            async with self._readers.one() as connection:
                rows = await connection.execute(_LOAD, (stream_id.encode(), self._type(kind).encode()))
            return self._opened(kind, *rows[0]) if rows else None
        except (psycopg.Error, OSError, msgspec.MsgspecError, ValueError) as error:
            _log.warning("snapshot_not_loaded", stream_id=stream_id, error=type(error).__name__)
            return None

    def keep(self, kind: StreamKind[S], stream_id: StreamId, loaded: Loaded[S]) -> None:
        if not self._waiting.full():
            row = (stream_id, loaded.version, self._type(kind), self._sealed(kind, loaded))
            self._waiting.put_nowait(row)

    async def kept(self) -> None:
        """Returns when all that was to be kept has been dealt with."""
        await self._waiting.join()

    async def _store(self) -> None:
        while True:
            stream_id, version, type_, state = await self._waiting.get()
            row = (stream_id.encode(), int8(version), type_.encode(), state)
            try:
                # One a stream: the newest.
                await self._writer.execute(_CLEAR, row[:2])
                await self._writer.execute(_KEEP, row)
            except (psycopg.Error, OSError) as error:
                _log.warning("snapshot_not_kept", stream_id=stream_id, error=type(error).__name__)
            finally:
                self._waiting.task_done()

    def _sealed(self, kind: StreamKind[S], loaded: Loaded[S]) -> bytes:
        person = kind.person(loaded.state) if kind.person else None
        state: Any = msgspec.to_builtins(loaded.state, str_keys=True)
        if person is not None:
            state = self._personal.seal(person, state)
        return msgspec.json.encode(_Snapshot(type(loaded.state).__name__, loaded.owner, person, state))

    def _opened(self, kind: StreamKind[S], version: int, stored: bytes) -> Loaded[S]:
        snapshot = msgspec.json.decode(stored, type=_Snapshot)
        [cls] = [each for each in kind.states if each.__name__ == snapshot.of]
        state = snapshot.state
        if snapshot.person is not None:
            state = self._personal.open(snapshot.person, state)
        return Loaded(msgspec.convert(state, cls, str_keys=True), version, snapshot.owner)

    def _type(self, kind: StreamKind[Any]) -> str:
        """The kind's name and what its states and their folding look like now."""
        known = self._types.get(kind.name)
        if known is None:
            known = self._types[kind.name] = f"{kind.name}.{fingerprint(kind)}"
        return known


def fingerprint(kind: StreamKind[Any]) -> str:
    """Another one where a class that a state can be of has changed, or the module that folds it."""
    _, components = msgspec.json.schema_components(kind.states)
    module = inspect.getmodule(kind.evolve)
    source = inspect.getsource(module) if module is not None else ""
    text = msgspec.json.encode([sorted(components.items()), source], order="sorted")
    return sha256(text).hexdigest()[:16]
