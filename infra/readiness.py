"""Whether this process can do its work: database, migrations, projections."""

import asyncio
from time import monotonic
from typing import Any, Final

import psycopg
import structlog
from psycopg.rows import dict_row

from infra.observability.database_errors import told
from infra.observability.metrics import ProjectionMetrics
from infra.operations import ProjectionHealth, Readiness
from infra.postgres.errors import PostgresError
from infra.postgres.migrate import pending_on

GOOD_FOR_S: Final = 1.0
CONNECT_LIMIT_S: Final = 3
STATEMENT_LIMIT: Final = "3s"

UNREACHABLE: Final = "the database cannot be reached"
OTHER_MIGRATIONS: Final = "the database was not migrated by this release"
MIGRATIONS_PENDING: Final = "migrations are pending"

log = structlog.get_logger("readiness")


class ReadinessProbe:
    """Looks at the database, over one connection, and brings the projections' gauges up to date.

    Anybody may ask, so what one look found is the answer for everybody within `good_for_s`, and those who
    ask meanwhile wait for the look that is under way.

    Args:
        conninfo: of the role `megacity_writer`.
        ready_lag: positions that a projection may be behind.
    """

    def __init__(
        self, conninfo: str, metrics: ProjectionMetrics, *, ready_lag: int, good_for_s: float = GOOD_FOR_S
    ) -> None:
        self._conninfo = conninfo
        self._metrics = metrics
        self._ready_lag = ready_lag
        self._good_for_s = good_for_s
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
        reasons: list[str] = []
        try:
            with psycopg.connect(
                self._conninfo, autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_LIMIT_S
            ) as connection:
                connection.execute("SELECT set_config('statement_timeout', %s, false)", [STATEMENT_LIMIT])
                migrations = pending_on(connection)
                # Before all are applied the tables of the next step need not be there.
                projections = [] if migrations else self._projections(connection)
        except psycopg.Error as error:
            reachable = False
            reasons.append(UNREACHABLE)
            log.debug("readiness not found out", error=told(error))
        except PostgresError as error:
            reasons.append(OTHER_MIGRATIONS)
            log.debug("migrations contradict the files", error=str(error))
        if migrations:
            reasons.append(MIGRATIONS_PENDING)
        reasons += [reason for each in projections if (reason := self._reason(each)) is not None]
        return Readiness(
            status="not_ready" if reasons else "ready",
            reasons=reasons,
            database=reachable,
            pending_migrations=migrations,
            projections=projections,
        )

    def _projections(self, connection: psycopg.Connection[dict[str, Any]]) -> list[ProjectionHealth]:
        # The checkpoints first: a projection seen before the head can only look further behind.
        rows = connection.execute(
            "SELECT name, position, status, failed_position FROM ops.projections ORDER BY name"
        ).fetchall()
        row = connection.execute(
            "SELECT coalesce(max(notification_id), 0) AS head FROM log.megacity_events"
        ).fetchone()
        assert row is not None
        found = []
        for each in rows:
            self._metrics.record_progress(each["name"], position=each["position"], head=row["head"])
            found.append(
                ProjectionHealth(
                    name=each["name"],
                    position=each["position"],
                    lag=max(0, row["head"] - each["position"]),
                    halted=each["status"] == "failed",
                    failed_position=each["failed_position"],
                )
            )
        return found

    def _reason(self, projection: ProjectionHealth) -> str | None:
        if projection.halted:
            return f"projection {projection.name} has halted"
        if projection.lag > self._ready_lag:
            return f"projection {projection.name} is {projection.lag} events behind"
        return None
