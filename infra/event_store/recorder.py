"""The `eventsourcing` library's recorders over our log: synchronous, for its Application and its aggregates.

An event of ours travels in a `StoredFact`, which has the metadata that the log keeps apart. What comes
from a plain aggregate of the library has none: it gets an event id, and its state is the payload. Positions
are given by the sequencer, so an insert cannot tell them: it answers None, as the library allows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from threading import Thread
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import psycopg
import uuid_utils
from eventsourcing import persistence as library
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    ListenNotifySubscription,
    Notification,
    StoredEvent,
)
from psycopg.abc import Params, QueryNoTemplate
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from infra.event_store import codec
from infra.event_store.append_queue import call_parameters
from infra.event_store.arrays import register_arrays
from infra.event_store.leaves import leaf_hash

CHANNEL = "log_sequenced"

_APPEND_TOGETHER = "SELECT log.append_together(%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)"
_SELECT_EVENTS = "SELECT version, type, meta, payload, leaf FROM log.events"
_SELECT_SNAPSHOTS = "SELECT version, type, state FROM log.snapshots"
_SELECT_NOTIFICATIONS = (
    "SELECT p.position, e.stream_id, e.version, e.type, e.meta, e.payload"
    " FROM log.positions p JOIN log.events e USING (append_id) WHERE p.position > %(after)s"
)
_PATIENCE_S = 2.0
_RETRY_EVERY_S = 0.1
# Of a stored event that carries nothing but its id.
_BARE_META = b'{"event_id":"%b"}'
_BARE_META_BYTES = len(_BARE_META) - 2 + 36


@dataclass(frozen=True)
class StoredFact(StoredEvent):
    """One of our events; `state` is its payload."""

    meta: bytes
    leaf: bytes


@dataclass(frozen=True)
class FactNotification(Notification):
    """One of our events with its position; `state` is its payload."""

    meta: bytes


class LogStore:
    """Connections for the recorders of one application, and the library's names for what goes wrong."""

    def __init__(self, conninfo: str, pool_size: int) -> None:
        self.conninfo = conninfo
        self._pool: ConnectionPool[psycopg.Connection[TupleRow]] = ConnectionPool(
            conninfo,
            min_size=0,
            max_size=pool_size,
            kwargs={"autocommit": True},
            configure=register_arrays,
            open=True,
            timeout=_PATIENCE_S,
        )

    def execute(self, statement: QueryNoTemplate, parameters: Params) -> list[TupleRow]:
        """All rows; tried again over another connection where one was lost, for about two seconds.

        That is safe for an append too: it finds its own events by their ids.
        """
        began = monotonic()
        with _library_errors():
            while True:
                try:
                    return self._execute(statement, parameters)
                except PoolTimeout:
                    raise
                except psycopg.OperationalError as error:
                    # An answer that ends the session is no answer to the statement.
                    answered = error.sqlstate is not None and not error.sqlstate.startswith("57P")
                    if answered or monotonic() - began >= _PATIENCE_S:
                        raise
                sleep(_RETRY_EVERY_S)

    def _execute(self, statement: QueryNoTemplate, parameters: Params) -> list[TupleRow]:
        with self._pool.connection() as connection:
            cursor = connection.execute(statement, parameters, prepare=True, binary=True)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self._pool.close()


class LogRecorder(ApplicationRecorder):
    """Events in `log.events`, notifications in the order of `log.positions`.

    An insert is all or nothing, and needs the version before its first event to be there, as well as its
    own versions to be free: anything else is an `IntegrityError`.
    """

    def __init__(self, store: LogStore) -> None:
        self.store = store

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        if not stored_events:
            return None
        events = sorted(map(_row_of, stored_events), key=lambda event: (event.stream_id, event.version))
        for before, after in pairwise(events):
            if before.stream_id == after.stream_id and before.version + 1 != after.version:
                raise library.IntegrityError(f"{after.stream_id}: versions that do not follow each other")
        self.store.execute(_APPEND_TOGETHER, call_parameters(events))
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        rows = self.store.execute(
            _SELECT_EVENTS + _chosen(gt=gt, lte=lte, desc=desc, limit=limit),
            {"stream_id": str(originator_id), "gt": gt, "lte": lte, "limit": limit},
        )
        return [
            StoredEvent(originator_id, version, type_, payload)
            if len(meta) == _BARE_META_BYTES
            else StoredFact(originator_id, version, type_, payload, meta, leaf)
            for version, type_, meta, payload, leaf in rows
        ]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        after = 0 if start is None else start - 1 if inclusive_of_start else start
        rows = self.store.execute(
            _SELECT_NOTIFICATIONS
            + (" AND p.position <= %(stop)s" if stop is not None else "")
            + (" AND e.type = ANY(%(topics)s)" if topics else "")
            + " ORDER BY p.position LIMIT %(limit)s",
            {"after": after, "stop": stop, "topics": list(topics), "limit": limit},
        )
        return [
            Notification(stream_id, version, type_, payload, position)
            if len(meta) == _BARE_META_BYTES
            else FactNotification(stream_id, version, type_, payload, position, meta)
            for position, stream_id, version, type_, meta, payload in rows
        ]

    def max_notification_id(self) -> int | None:
        [(newest,)] = self.store.execute("SELECT max(position) FROM log.positions", ())
        return None if newest is None else int(newest)

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> library.Subscription[ApplicationRecorder]:
        return LogSubscription(self, gt=gt, topics=topics)


class LogSubscription(ListenNotifySubscription[LogRecorder]):
    """Wakes up when the sequencer has given positions, and now and then without being told."""

    _LOOKS_EVERY_S = 0.1

    def __init__(self, recorder: LogRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._listener = Thread(target=self._listen, name="log-subscription", daemon=True)
        self._listener.start()

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        try:
            super().__exit__(*args, **kwargs)
        finally:
            self._listener.join()

    def _listen(self) -> None:
        try:
            with psycopg.connect(self._recorder.store.conninfo, autocommit=True) as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                while not self._has_been_stopped:
                    for _ in connection.notifies(timeout=self._LOOKS_EVERY_S, stop_after=1):
                        self._has_been_notified.set()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that reads the subscription
            self._thread_error = self._thread_error or error
            self.stop()


class SnapshotRecorder(AggregateRecorder):
    """The library's snapshots, in `log.snapshots`."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        if stored_events:
            self._store.execute(
                "INSERT INTO log.snapshots (stream_id, version, type, state)"
                " SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bytea[])",
                (
                    [str(event.originator_id) for event in stored_events],
                    [event.originator_version for event in stored_events],
                    [event.topic for event in stored_events],
                    [event.state for event in stored_events],
                ),
            )
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        rows = self._store.execute(
            _SELECT_SNAPSHOTS + _chosen(gt=gt, lte=lte, desc=desc, limit=limit),
            {"stream_id": str(originator_id), "gt": gt, "lte": lte, "limit": limit},
        )
        return [StoredEvent(originator_id, version, type_, state) for version, type_, state in rows]


def _chosen(*, gt: int | None, lte: int | None, desc: bool, limit: int | None) -> str:
    return (
        " WHERE stream_id = %(stream_id)s"
        + (" AND version > %(gt)s" if gt is not None else "")
        + (" AND version <= %(lte)s" if lte is not None else "")
        + (" ORDER BY version DESC" if desc else " ORDER BY version")
        + (" LIMIT %(limit)s" if limit is not None else "")
    )


def _row_of(event: StoredEvent) -> codec.StoredEvent:
    stream_id, version = str(event.originator_id), event.originator_version
    if isinstance(event, StoredFact):
        return codec.StoredEvent(stream_id, version, event.topic, event.meta, event.state, event.leaf)
    event_id = str(uuid_utils.uuid7())
    meta = _BARE_META % event_id.encode()
    leaf = leaf_hash(stream_id, version, event.topic, meta, event_id, event.state)
    return codec.StoredEvent(stream_id, version, event.topic, meta, event.state, leaf)


@contextmanager
def _library_errors() -> Iterator[None]:
    """What psycopg raises, under the names that the library's callers catch."""
    try:
        yield
    except PoolTimeout as error:
        raise library.OperationalError(str(error)) from error
    except psycopg.Error as error:
        for theirs, ours in _ERRORS:
            if isinstance(error, theirs):
                raise ours(str(error)) from error
        raise library.PersistenceError(str(error)) from error


_ERRORS: tuple[tuple[type[psycopg.Error], type[library.PersistenceError]], ...] = (
    (psycopg.IntegrityError, library.IntegrityError),
    (psycopg.OperationalError, library.OperationalError),
    (psycopg.DataError, library.DataError),
    (psycopg.InternalError, library.InternalError),
    (psycopg.ProgrammingError, library.ProgrammingError),
    (psycopg.NotSupportedError, library.NotSupportedError),
    (psycopg.InterfaceError, library.InterfaceError),
    (psycopg.DatabaseError, library.DatabaseError),
)
