"""The relay: publishes the sequenced log to Kafka, at least once and in order.

One process leads, by an advisory lock. Two that both believe so do no harm: events are published twice, which
consumers pass over, and the one that was replaced cannot move the cursor. The cursor moves when the broker
has acknowledged; after any error the relay begins anew from it, and looks first what the broker holds.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import psycopg
import structlog

from infra.event_store.stored_log import PositionMissing, StoredLog, open_stored_log
from infra.kafka.port import Kafka, KafkaError
from infra.kafka.publishing import Layout, Pace, Publisher
from infra.kafka.relay_state import LeadershipLost, RelayState, open_relay_state
from infra.kafka.relayed import recorded_at
from infra.observability.database_errors import told
from infra.observability.relay_metrics import RelayMetrics
from infra.persistent_thread import PersistentThread

LONGEST_PAUSE_S: Final = 5.0
STANDBY_INTERVAL_S: Final = 1.0

log = structlog.get_logger("relay")


def _now() -> datetime:
    return datetime.now(UTC)


class Relay:
    """Relays from `start()` until `stop()`.

    Args:
        conninfo: of the role `megacity_projector`.
        kafka: makes the clients.
        layout: the topics; their prefix names the relay.
        pace: how much is under way at once.
        poll_interval_s: looks for events at least this often, even if nobody calls.
        clock: for the age of what waits.
    """

    def __init__(  # noqa: PLR0913 - all but two by name
        self,
        conninfo: str,
        kafka: Kafka,
        *,
        metrics: RelayMetrics,
        layout: Layout | None = None,
        pace: Pace | None = None,
        poll_interval_s: float = 1.0,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._conninfo = conninfo
        self._kafka = kafka
        self._metrics = metrics
        self._layout = layout or Layout()
        self._pace = pace or Pace()
        self._poll_interval_s = poll_interval_s
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = PersistentThread(
            f"relay-{self.name}",
            self._relay,
            self._stopping,
            self._begins_anew,
            longest_pause_s=LONGEST_PAUSE_S,
        )
        self._position = 0

    @property
    def name(self) -> str:
        return self._layout.prefix

    @property
    def position(self) -> int:
        """The position up to which everything was acknowledged, as this relay last knew it."""
        return self._position

    def start(self) -> None:
        """Raises `RuntimeError` where it is running already."""
        self._thread.start()

    def stop(self, timeout_s: float = 15.0) -> bool:
        """Ends as soon as it can; False where it did not end in time.

        What is not acknowledged then is sent again by the next relay.
        """
        return self._thread.stop(timeout_s)

    def _begins_anew(self, error: Exception, pause_s: float) -> None:
        expected = isinstance(error, KafkaError | psycopg.Error | LeadershipLost | PositionMissing)
        log.log(
            logging.WARNING if expected else logging.ERROR,
            "relay begins anew",
            relay=self.name,
            error=told(error),
            retry_in_s=pause_s,
            exc_info=None if expected else error,
        )
        self._metrics.errors.inc()

    def _relay(self) -> None:
        """One try: returns when it is to stop."""
        try:
            self._lead_and_follow()
        finally:
            self._metrics.leading.set(0)

    def _lead_and_follow(self) -> None:
        with (
            open_relay_state(self._conninfo, self.name) as state,
            open_stored_log(self._conninfo) as stored,
        ):
            if not self._lead(state):
                return
            progress = state.take_over()
            self._reached(progress.position, stored)
            with self._kafka.admin() as admin, self._kafka.producer() as producer:
                publisher = Publisher(
                    state=state,
                    log=stored,
                    kafka=self._kafka,
                    admin=admin,
                    producer=producer,
                    layout=self._layout,
                    pace=self._pace,
                    metrics=self._metrics,
                    stopping=self._stopping,
                )
                publisher.begin(progress)
                self._reached(publisher.position, stored)
                log.info("relay goes on", relay=self.name, position=publisher.position)
                self._follow(publisher, stored)

    def _lead(self, state: RelayState) -> bool:
        """Waits for the lead; False where it is to stop before."""
        while not state.try_lead():
            if self._stopping.wait(STANDBY_INTERVAL_S):
                return False
        self._metrics.leading.set(1)
        return True

    def _follow(self, publisher: Publisher, stored: StoredLog) -> None:
        while not self._stopping.is_set():
            stored.wait(publisher.position, self._poll_interval_s, self._stopping)
            try:
                publisher.publish(stored.head())
                publisher.check_when_due()
            finally:
                self._position = publisher.position
            self._reached(publisher.position, stored)

    def _reached(self, position: int, stored: StoredLog) -> None:
        if position > self._position:
            self._thread.progressed()
        self._position = position
        lag = stored.head() - position
        self._metrics.position.set(position)
        self._metrics.lag_events.set(max(0, lag))
        self._metrics.lag_s.set(self._age(stored.meta_at(position + 1)) if lag > 0 else 0)

    def _age(self, meta: bytes | None) -> float:
        since = None if meta is None else recorded_at(meta)
        return 0 if since is None else max(0.0, (self._clock() - since).total_seconds())
