"""The feed over the library's recorder: its notification ids are the positions."""

import threading
from collections.abc import Sequence

import psycopg

from domain.events import Event, PositionedEvent
from infra.event_store.codec import EventCodec
from infra.event_store.feed import FeedPage
from infra.event_store.library import EventLogApplication

CHANNEL = "megacity_events"


class LibraryEventFeed:
    """`infra.event_store.feed.EventFeed`.

    The recorder's table lock makes positions become visible in order, so what lies below the
    highest visible position is all there ever will be.
    """

    def __init__(self, application: EventLogApplication, codec: EventCodec, conninfo: str) -> None:
        self._recorder = application.recorder
        self._codec = codec
        self._conninfo = conninfo
        self._local = threading.local()

    def head(self) -> int:
        return self._recorder.max_notification_id() or 0

    def read(self, after: int, limit: int, event_types: Sequence[type[Event]] | None = None) -> FeedPage:
        head = self.head()
        notifications = self._recorder.select_notifications(
            after,
            limit,
            stop=head,
            topics=[] if event_types is None else _stored_names(event_types),
            inclusive_of_start=False,
        )
        events = [
            PositionedEvent(
                found.id,
                self._codec.decode(
                    str(found.originator_id), found.originator_version, found.topic, found.state
                ),
            )
            for found in notifications
        ]
        up_to = events[-1].position if len(events) == limit else max(head, after)
        return FeedPage(events, up_to)

    def wait(self, after: int, timeout_s: float) -> None:
        """Returns at once when there is more, else with the next append or after the time."""
        try:
            listening = self._listening()
            if self.head() > after:
                return
            for _ in listening.notifies(timeout=timeout_s, stop_after=1):
                pass
        except psycopg.OperationalError:
            # The next call connects again; until then the caller's polling goes on.
            self._local.connection = None
            threading.Event().wait(min(timeout_s, 0.2))

    def _listening(self) -> psycopg.Connection:
        """One listening connection for each thread that waits."""
        connection: psycopg.Connection | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            connection = psycopg.connect(self._conninfo, autocommit=True)
            connection.execute(f"LISTEN {CHANNEL}")
            self._local.connection = connection
        return connection


def _stored_names(event_types: Sequence[type[Event]]) -> list[str]:
    """The names of all schema versions that were ever written."""
    return [
        f"{cls.type_.name}.v{version}" for cls in event_types for version in range(1, cls.type_.version + 1)
    ]
