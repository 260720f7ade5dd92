"""Gives positions to committed events: a thread that leads, or stands by until it can."""

import threading
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any, ClassVar, Final, LiteralString

import psycopg
import structlog
from psycopg import errors
from psycopg.conninfo import make_conninfo

from infra.observability.database_errors import told
from infra.observability.sequencer_metrics import SequencerMetrics
from infra.persistent_thread import PersistentThread
from infra.postgres.roles import with_options
from infra.sequencer.leadership import Connection, Leadership
from infra.sequencer.pace import Pace
from infra.sequencer.statements import MOVED_CLUSTER, REBASE, SEQUENCE, UNSEQUENCED

BATCH_LIMIT: Final = 50_000
"""Events in one batch at most: it bounds what one statement holds, how long it takes, and how long readers
wait for the first events of a backlog. Larger ones are no faster."""


# A plan must not depend on what the statistics happen to say: each step reads a few rows by an index,
# whatever the size of the log. The other limits end a session whose process is stopped or unreachable.
_OPTIONS: Final = (
    "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
    " -c plan_cache_mode=force_generic_plan -c max_parallel_workers_per_gather=0 -c work_mem=64MB"
    " -c synchronous_commit=on -c default_transaction_isolation=read\\ committed"
    " -c statement_timeout=120s -c lock_timeout=10s -c idle_in_transaction_session_timeout=10s"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
)

log = structlog.get_logger("sequencer")


@dataclass(frozen=True, slots=True)
class Batch:
    """`events` have got the positions up to `last_position`."""

    events: int
    last_position: int


class Sequencer:
    """Works from `start()` until `stop()`, through lost connections and restarts of the server.

    Any number may run, in any number of processes: one leads, and another takes over within `lease_s`
    or so of its end. The session must be the sequencer's own (no pooler between that shares sessions).

    Args:
        conninfo: of the role `megacity_writer`.
        batch_limit: events in one batch at most.
        busy_interval_s: between two looks while events come in.
        idle_interval_s: between two looks when none have come for a while.
        lease_s: how long a leader may show no sign of life.
        metrics: where to count.
    """

    SEQUENCE: ClassVar[LiteralString] = SEQUENCE
    """The step. A test of the tests puts wrong ones in its place."""

    def __init__(  # noqa: PLR0913 - all but the first by name
        self,
        conninfo: str,
        *,
        batch_limit: int = BATCH_LIMIT,
        busy_interval_s: float = 0.002,
        idle_interval_s: float = 0.02,
        standby_interval_s: float = 0.25,
        lease_s: float = 3.0,
        metrics: SequencerMetrics | None = None,
    ) -> None:
        self._conninfo = session_conninfo(conninfo)
        self._batch_limit = batch_limit
        self._busy_interval_s = busy_interval_s
        self._idle_interval_s = idle_interval_s
        self._standby_interval_s = standby_interval_s
        self._lease_s = lease_s
        self._metrics = metrics
        self._leads = False
        self._stopping = threading.Event()
        self._thread = PersistentThread(
            "sequencer", self._run, self._stopping, self._interrupted, interrupt=self._cancel
        )
        self._connection: Connection | None = None

    @property
    def leads(self) -> bool:
        return self._leads

    def start(self) -> None:
        """Raises `RuntimeError` where it is running already."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Ends after the batch at hand; False where it did not end in time."""
        return self._thread.stop(timeout_s)

    def _run(self) -> None:
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            self._connection = connection
            try:
                self._serve(connection)
            finally:
                self._connection = None
                self._lead(leads=False)

    def _cancel(self) -> None:
        if (connection := self._connection) is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=1.0)

    def _interrupted(self, error: Exception, pause_s: float) -> None:
        if self._metrics is not None:
            self._metrics.failures.inc()
        log.warning("sequencing interrupted", error=told(error), retry_in_s=pause_s)

    def _serve(self, connection: Connection) -> None:
        leadership = Leadership(self._lease_s)
        while not self._stopping.is_set():
            if not leadership.try_lead(connection):
                self._stopping.wait(self._standby_interval_s)
                continue
            log.info("sequencer leads", pid=connection.info.backend_pid)
            rebase_if_moved(connection)
            self._lead(leads=True)
            self._follow(connection)

    def _follow(self, connection: Connection) -> None:
        """Leads until told to stop, or until the session is gone."""
        pace = Pace(self._busy_interval_s, self._idle_interval_s)
        while not self._stopping.is_set():
            started = perf_counter()
            batch = step(connection, self._batch_limit, self.SEQUENCE)
            if batch is not None:
                self._thread.progressed()
                self._count(batch, perf_counter() - started)
                if batch.events >= self._batch_limit:
                    continue
            self._stopping.wait(pace.pause_s(batch.events if batch else 0, monotonic()))

    def _lead(self, *, leads: bool) -> None:
        self._leads = leads
        if self._metrics is not None:
            self._metrics.leads.set(leads)

    def _count(self, batch: Batch, took_s: float) -> None:
        if self._metrics is not None:
            self._metrics.sequenced.inc(batch.events)
            self._metrics.batch_events.observe(batch.events)
            self._metrics.batch_duration_s.observe(took_s)
            self._metrics.position.set(batch.last_position)


def step(
    connection: Connection, batch_limit: int = BATCH_LIMIT, statement: LiteralString = SEQUENCE
) -> Batch | None:
    """Sequences one batch of what is committed now; None where there is nothing.

    Also None where another sequencer has just done the same: its batch holds.
    """
    try:
        row = connection.execute(statement, {"limit": batch_limit}, prepare=True, binary=True).fetchone()
    except errors.UniqueViolation:
        log.warning("another sequencer was faster")
        return None
    return None if row is None else Batch(events=row[1], last_position=row[0])


def rebase_if_moved(connection: Connection) -> bool:
    """Starts anew from what has a position, where transaction ids are not those of the stored snapshot.

    Must be called by the leader before its first step. It looks at the whole log, once.
    """
    row = connection.execute(MOVED_CLUSTER).fetchone()
    if row is None:
        raise LookupError("log.batches is empty; the migration that makes it leaves a row there")
    if not row[0]:
        return False
    with connection.transaction():
        for setting in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan"):
            connection.execute("SELECT set_config(%s, 'on', true)", [setting])
        connection.execute("SELECT set_config('statement_timeout', '0', true)")
        found = connection.execute(REBASE).fetchone()
    log.info("the log is in another cluster: sequencing starts anew", found=found and found[1])
    return True


def sequence_all(conninfo: str, *, time_limit_s: float = 60.0, lease_s: float = 3.0) -> int:
    """Sees to it that everything which is committed now has a position; the last position then.

    Leads for that moment, or waits for the leader to do it. Raises `TimeoutError`.
    """
    gives_up_at = monotonic() + time_limit_s
    leadership = Leadership(lease_s)
    waiting = threading.Event()
    with psycopg.connect(session_conninfo(conninfo), autocommit=True) as connection:
        missing: list[int] | None = None
        while not leadership.try_lead(connection):
            if missing is None:
                missing = [row[0] for row in connection.execute(UNSEQUENCED)]
            if not _are_missing(connection, missing):
                return last_position(connection)
            if monotonic() > gives_up_at:
                raise TimeoutError(f"{len(missing)} events have no position after {time_limit_s} s")
            waiting.wait(0.005)
        rebase_if_moved(connection)
        while step(connection) is not None:
            pass
        return last_position(connection)


def last_position(connection: psycopg.Connection[Any]) -> int:
    """Rows as tuples."""
    row = connection.execute("SELECT position FROM log.positions ORDER BY position DESC LIMIT 1").fetchone()
    return 0 if row is None else row[0]


def session_conninfo(conninfo: str) -> str:
    """The conninfo of a sequencer's own session."""
    return make_conninfo(
        with_options(conninfo, _OPTIONS),
        application_name="megacity sequencer",
        connect_timeout=5,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=10_000,
    )


def _are_missing(connection: Connection, append_ids: list[int]) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM unnest(%s::bigint[]) AS wanted(append_id)"
        " WHERE NOT EXISTS (SELECT FROM log.positions p WHERE p.append_id = wanted.append_id))",
        [append_ids],
    ).fetchone()
    return row is not None and bool(row[0])
