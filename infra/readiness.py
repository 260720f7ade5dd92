"""Whether this process can do its work: database, migrations, sequencer, projections."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, LiteralString

import psycopg
import structlog
from psycopg.rows import dict_row

from infra.kafka.delivery import LOG
from infra.log_reading.health import LogHealth, read_health
from infra.observability.database_errors import told
from infra.observability.metrics import ProjectionMetrics
from infra.observability.sequencer_metrics import SequencerMetrics
from infra.operations import ProjectionHealth, Readiness
from infra.postgres.errors import PostgresError
from infra.postgres.migrate import pending_on
from infra.projections.lag import Progress, read_progress

GOOD_FOR_S: Final = 1.0
CONNECT_LIMIT_S: Final = 3
STATEMENT_LIMIT: Final = "3s"

UNREACHABLE: Final = "the database cannot be reached"
OTHER_MIGRATIONS: Final = "the database was not migrated by this release"
MIGRATIONS_PENDING: Final = "migrations are pending"

_KEPT: Final[LiteralString] = """
    SELECT consumer, position FROM ops.consumer_partitions
    WHERE consumer = ANY (%s) AND topic = %s AND partition = %s ORDER BY consumer
"""

log = structlog.get_logger("readiness")


class ReadinessProbe:
    """Looks at the database, over one connection, and brings what is measured of it up to date.

    Anybody may ask, so what one look found is the answer for everybody within `good_for_s`, and those who
    ask meanwhile wait for the look that is under way.

    Args:
        conninfo: of the role `megacity_writer`.
        ready_lag: events that the sequencer, a projection or a consumer may be behind.
        consumers: those that run in this process and follow the log, by their names.
    """

    def __init__(  # noqa: PLR0913 - all but three by name
        self,
        conninfo: str,
        metrics: ProjectionMetrics,
        sequencer_metrics: SequencerMetrics,
        *,
        ready_lag: int,
        good_for_s: float = GOOD_FOR_S,
        consumers: Sequence[str] = (),
    ) -> None:
        self._conninfo = conninfo
        self._metrics = metrics
        self._sequencer_metrics = sequencer_metrics
        self._ready_lag = ready_lag
        self._good_for_s = good_for_s
        self._consumers = list(consumers)
        self._found: Readiness | None = None
        self._good_until = 0.0
        self._looking: asyncio.Task[Readiness] | None = None

    async def __call__(self) -> Readiness:
        if self._found is not None and monotonic() < self._good_until:
            return self._found
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_once())
        # A caller that goes away must not take the look of the others along.
        return await asyncio.shield(self._looking)

    async def _look_once(self) -> Readiness:
        found = await asyncio.to_thread(self.look)
        if self._found is None or self._found.reasons != found.reasons:
            level = log.warning if found.reasons else log.info
            level("readiness", status=found.status, reasons=found.reasons)
        self._found, self._good_until = found, monotonic() + self._good_for_s
        return found

    def look(self) -> Readiness:
        """What there is to see now. Raises nothing that the database can be the cause of."""
        reachable, migrations, projections = True, list[str](), list[ProjectionHealth]()
        health = LogHealth(head=0, unsequenced=0, unsequenced_age_s=0.0)
        reasons: list[str] = []
        try:
            with psycopg.connect(
                self._conninfo, autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_LIMIT_S
            ) as connection:
                connection.execute("SELECT set_config('statement_timeout', %s, false)", [STATEMENT_LIMIT])
                migrations = pending_on(connection)
                # Before all are applied the tables of the next step need not be there.
                if not migrations:
                    health = self._log(connection)
                    projections = [self._projection(each) for each in read_progress(connection)]
                    reasons += self._late_consumers(connection, health.head)
        except psycopg.Error as error:
            reachable = False
            reasons.append(UNREACHABLE)
            log.debug("readiness not found out", error=told(error))
        except PostgresError as error:
            reasons.append(OTHER_MIGRATIONS)
            log.debug("migrations contradict the files", error=str(error))
        if migrations:
            reasons.append(MIGRATIONS_PENDING)
        if health.unsequenced > self._ready_lag:
            reasons.append(f"{health.unsequenced} events or more wait for the sequencer")
        reasons += [reason for each in projections if (reason := self._reason(each)) is not None]
        return Readiness(
            status="not_ready" if reasons else "ready",
            reasons=reasons,
            database=reachable,
            pending_migrations=migrations,
            head=health.head,
            unsequenced=health.unsequenced,
            projections=projections,
        )

    def _log(self, connection: psycopg.Connection[dict[str, Any]]) -> LogHealth:
        found = read_health(connection, datetime.now(UTC))
        self._sequencer_metrics.unsequenced.set(found.unsequenced)
        self._sequencer_metrics.unsequenced_age_s.set(found.unsequenced_age_s)
        return found

    def _projection(self, found: Progress) -> ProjectionHealth:
        self._metrics.record_progress(
            found.name,
            position=found.position,
            head=found.position + found.lag,
            lag_s=found.lag_s,
            set_aside=found.set_aside,
        )
        return ProjectionHealth(
            name=found.name,
            position=found.position,
            lag=found.lag,
            lag_s=round(found.lag_s, 3),
            halted=found.status == "failed",
            paused=found.status == "paused",
            failed_position=found.failed_position,
            set_aside=found.set_aside,
        )

    def _late_consumers(self, connection: psycopg.Connection[dict[str, Any]], head: int) -> list[str]:
        rows = connection.execute(_KEPT, [self._consumers, LOG.topic, LOG.partition]).fetchall()
        return [
            f"{row['consumer']} is {head - row['position']} events behind"
            for row in rows
            if head - row["position"] > self._ready_lag
        ]

    def _reason(self, projection: ProjectionHealth) -> str | None:
        if projection.halted:
            return f"projection {projection.name} has halted"
        # What an operator has paused is meant to fall behind, and that is no reason to serve nothing.
        if projection.lag > self._ready_lag and not projection.paused:
            return f"projection {projection.name} is {projection.lag} events behind"
        return None
