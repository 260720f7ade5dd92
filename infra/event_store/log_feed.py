"""The feed over the tables of the log: `log.positions` says the order, `log.events` holds the events.

Connections are borrowed from a small pool and replaced when they break; one more listens for the
sequencer. Neither a killed session nor a restarted server is noticed by anybody but `read` and `stream`,
which try again for a while before they say that the log is out of reach.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import Any, Final, LiteralString, Self, TypeVar

import psycopg
import structlog
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row

from domain.errors import DomainError, Unavailable
from domain.events import Event, PositionedEvent
from infra.database import RECONNECT_TIMEOUT_S
from infra.event_store.codec import EventCodec
from infra.event_store.feed import FeedPage, OnUnreadable, Partition, UnreadableEvent
from infra.observability.database_errors import told
from infra.postgres.roles import with_options
from infra.sequencer.statements import CHANNEL

SEGMENT: Final = 50_000
"""Positions that one statement looks at, at most: it bounds how long a statement runs and what it holds
back from vacuum, where few events pass a filter or a stream goes over the whole log."""

PAGE_BYTES: Final = 32 * 1024 * 1024
"""Of payload in one page: the last event in it may go beyond. However large events are, who follows the log
holds no more than this and one event at once."""

POLL_INTERVAL_S: Final = 1.0
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.5
_FETCHED_AT_ONCE: Final = 1_000

# Positions in order, each with its event by an index, whatever the statistics say.
_OPTIONS: Final = (
    "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
    " -c plan_cache_mode=force_generic_plan -c max_parallel_workers_per_gather=0"
    " -c default_transaction_read_only=on"
)

_HEAD: Final[LiteralString] = "SELECT position FROM log.positions ORDER BY position DESC LIMIT 1"
_ROWS: Final[LiteralString] = """
    SELECT p.position, e.stream_id, e.version, e.type, e.meta, e.payload
    FROM log.positions p JOIN log.events e ON e.append_id = p.append_id
    WHERE p.position > %(after)s AND p.position <= %(up_to)s
"""
# A version that only a newer release knows must not be passed over: so without the number at the end.
_OF_TYPES: Final[LiteralString] = " AND rtrim(e.type, '0123456789') = ANY (%(types)s)"
_OF_CATEGORIES: Final[LiteralString] = " AND left(e.stream_id, -37) = ANY (%(categories)s)"
_OF_PARTITION: Final[LiteralString] = (
    " AND (hashtextextended(e.stream_id, 0) & 2147483647) %% %(count)s = %(index)s"
)
_IN_ORDER: Final[LiteralString] = " ORDER BY p.position"
# The length of a value that lies apart is known without fetching it.
_PAGE: Final[LiteralString] = """
    SELECT position, stream_id, version, type, meta, payload FROM (
        SELECT page.*, sum(octet_length(payload)) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) AS held
        FROM ({statement} ORDER BY p.position LIMIT %(limit)s) page
    ) counted
    WHERE held - octet_length(payload) < %(page_bytes)s
    ORDER BY position
"""
_AT_TIME: Final[LiteralString] = (
    "SELECT last_position FROM log.batches WHERE sequenced_at <= %s ORDER BY sequenced_at DESC, batch DESC"
    " LIMIT 1"
)

_Connection = psycopg.Connection[tuple[Any, ...]]
_Row = tuple[int, str, int, str, bytes, bytes]
T = TypeVar("T")

log = structlog.get_logger("feed")


class FeedUnreachable(Unavailable):
    code = "feed-unreachable"
    title = "The event log cannot be read at the moment"


class LogFeed:
    """`infra.event_store.feed.EventFeed`. Connects when it is first used; `close` ends that.

    Args:
        conninfo: of the role `megacity_projector`.
        codec: decodes what is read.
        retry_s: how long a read tries to get a connection back before it raises `FeedUnreachable`.
        page_bytes: what the events of a page may hold together; the last one may go beyond.
    """

    def __init__(
        self,
        conninfo: str,
        codec: EventCodec,
        *,
        retry_s: float = RECONNECT_TIMEOUT_S,
        page_bytes: int = PAGE_BYTES,
    ) -> None:
        self._conninfo = make_conninfo(
            with_options(conninfo, _OPTIONS), application_name="megacity feed", connect_timeout=5
        )
        self._codec = codec
        self._retry_s = retry_s
        self._page_bytes = page_bytes
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._closed = threading.Event()
        self._listener = _Listener(self._connect, self._closed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections; who waits is woken."""
        self._closed.set()
        self._listener.stop()
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def head(self) -> int:
        return self._asked(_read_head)

    def position_at(self, time: datetime) -> int:
        """The last position that had been given by then; 0 where none had."""

        def ask(connection: _Connection) -> int:
            row = connection.execute(_AT_TIME, [time]).fetchone()
            return 0 if row is None else int(row[0])

        return self._asked(ask)

    def read(  # noqa: PLR0913 - filters, all by name
        self,
        after: int,
        limit: int,
        event_types: Sequence[type[Event]] | None = None,
        *,
        categories: Sequence[str] | None = None,
        partition: Partition | None = None,
        up_to: int | None = None,
    ) -> FeedPage:
        """See the protocol. Looks at no more than `SEGMENT` positions, or `limit` where that is more."""
        statement, parameters = _filtered(event_types, categories, partition)

        def ask(connection: _Connection) -> tuple[list[_Row], int]:
            end = _read_head(connection)
            # Nothing is read past the head: what is not there yet has not been looked at.
            end = min(end if up_to is None else min(end, up_to), after + max(SEGMENT, limit))
            if end <= after:
                return [], after
            rows = connection.execute(
                _PAGE.format(statement=statement),
                {**parameters, "after": after, "up_to": end, "limit": limit, "page_bytes": self._page_bytes},
                prepare=True,
                binary=True,
            ).fetchall()
            full = len(rows) == limit or sum(len(row[-1]) for row in rows) >= self._page_bytes
            return rows, (rows[-1][0] if full else end)

        rows, reached = self._asked(ask)
        unreadable: list[UnreadableEvent] = []
        events = list(self._decoded(rows, unreadable.append))
        return FeedPage(events, reached, unreadable)

    def stream(  # noqa: PLR0913 - filters, all by name
        self,
        after: int,
        up_to: int,
        event_types: Sequence[type[Event]] | None = None,
        *,
        categories: Sequence[str] | None = None,
        partition: Partition | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> Iterator[PositionedEvent]:
        """See the protocol. A lost connection is replaced, and the stream goes on where it was."""
        statement, parameters = _filtered(event_types, categories, partition)
        last = min(up_to, self.head())
        patience = _Patience(self._retry_s, self._closed)
        while after < last:
            end = min(after + SEGMENT, last)
            bounds = {**parameters, "after": after, "up_to": end}
            try:
                with self._borrowed() as connection, connection.cursor() as cursor:
                    rows = cursor.stream(statement + _IN_ORDER, bounds, binary=True, size=_FETCHED_AT_ONCE)
                    for event in self._decoded(rows, on_unreadable):
                        after = event.position
                        yield event
            except psycopg.OperationalError as error:
                patience.wait_after(error)
            else:
                after = end
                patience.renew()

    def wait(self, after: int, timeout_s: float) -> None:
        """Returns at once when there is more, else with the next batch or after the time."""
        self._listener.wait(after, timeout_s)

    def _decoded(self, rows: Iterator[_Row] | list[_Row], on_unreadable: OnUnreadable | None) -> Any:
        decode = self._codec.decode
        for position, stream_id, version, type_, meta, payload in rows:
            try:
                recorded = decode(stream_id, version, type_, meta, payload)
            except DomainError as error:
                if on_unreadable is None:
                    raise
                on_unreadable(UnreadableEvent(position, stream_id, version, type_, error))
            else:
                yield PositionedEvent(position, recorded)

    def _asked(self, ask: Callable[[_Connection], T]) -> T:
        """The answer, over a new connection where the old one turns out to be dead."""
        patience = _Patience(self._retry_s, self._closed)
        while True:
            try:
                with self._borrowed() as connection:
                    return ask(connection)
            except psycopg.OperationalError as error:
                patience.wait_after(error)

    @contextmanager
    def _borrowed(self) -> Iterator[_Connection]:
        """A connection for the block; it comes back only when the block ended well."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if not self._closed.is_set():
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self) -> _Connection:
        return psycopg.connect(self._conninfo, autocommit=True, row_factory=tuple_row)


class _Patience:
    """Pauses between tries, longer and longer, until the time is over."""

    def __init__(self, retry_s: float, closed: threading.Event) -> None:
        self._retry_s = retry_s
        self._closed = closed
        self.renew()

    def renew(self) -> None:
        self._gives_up_at: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def wait_after(self, error: psycopg.Error) -> None:
        """Raises `FeedUnreachable` where there was no success for the whole time."""
        if self._gives_up_at is None:
            self._gives_up_at = monotonic() + self._retry_s
        if monotonic() >= self._gives_up_at or self._closed.is_set():
            raise FeedUnreachable(reason=told(error), retry_after_s=2) from error
        self._closed.wait(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)


class _Listener:
    """Knows about how far the log goes: one thread that listens for the sequencer, for all who wait.

    What it hears is a hint. It looks for itself when it has just connected, and now and then, so that a
    lost or late notice costs time and never an event.
    """

    def __init__(self, connect: Callable[[], _Connection], closed: threading.Event) -> None:
        self._connect = connect
        self._closed = closed
        self._moved = threading.Condition()
        self._head = 0
        self._thread: threading.Thread | None = None

    def wait(self, after: int, timeout_s: float) -> None:
        with self._moved:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="feed-listener", daemon=True)
                self._thread.start()
            self._moved.wait_for(lambda: self._head > after or self._closed.is_set(), timeout_s)

    def stop(self) -> None:
        with self._moved:
            thread, self._thread = self._thread, None
            self._moved.notify_all()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closed.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    pause_s = _FIRST_PAUSE_S
                    self._listen(connection)
            except psycopg.Error as error:
                log.warning("feed is not told of new events", error=told(error), retry_in_s=pause_s)
                self._closed.wait(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _listen(self, connection: _Connection) -> None:
        while not self._closed.is_set():
            self._tell(_read_head(connection))
            looks_at = monotonic() + POLL_INTERVAL_S
            # Short turns, so that closing need not wait for a notice.
            while not self._closed.is_set() and monotonic() < looks_at:
                for notice in connection.notifies(timeout=0.1):
                    with suppress(ValueError):
                        self._tell(max(self._head, int(notice.payload)))

    def _tell(self, head: int) -> None:
        with self._moved:
            self._head = head
            self._moved.notify_all()


def _read_head(connection: _Connection) -> int:
    row = connection.execute(_HEAD, prepare=True).fetchone()
    return 0 if row is None else int(row[0])


def _filtered(
    event_types: Sequence[type[Event]] | None,
    categories: Sequence[str] | None,
    partition: Partition | None,
) -> tuple[LiteralString, dict[str, Any]]:
    statement, parameters = _ROWS, dict[str, Any]()
    if event_types is not None:
        statement += _OF_TYPES
        parameters["types"] = [f"{cls.type_.name}.v" for cls in event_types]
    if categories is not None:
        statement += _OF_CATEGORIES
        parameters["categories"] = list(categories)
    if partition is not None and partition.count > 1:
        statement += _OF_PARTITION
        parameters |= {"count": partition.count, "index": partition.index}
    return statement, parameters
