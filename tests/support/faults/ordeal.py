"""A whole log at work on a server that something happens to: writers, sequencer, feed, projection.

with faulty_server() as server, server.looked_after(), ordeal(server) as running:
    running.writer.goes_on()
    server.kill()
    running.writer.goes_on()
# At the end of the block all is checked: see `tests.support.faults.checks`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from infra.postgres.processes import wait_until
from infra.postgres.roles import WRITER, role_conninfo
from infra.projections.runner import ProjectionRunner
from infra.sequencer.sequencer import Sequencer, sequence_all
from tests.support.faults.checks import Ledger, check_log, check_tally
from tests.support.faults.load import Writing, writing
from tests.support.faults.proxy import Proxy
from tests.support.faults.servers import FaultyServer
from tests.support.faults.tally import make_tally, tallying
from tests.support.postgres import ROLE_SECRET, fresh_database

PRODUCT_LOG = "tests.support.faults.load:product_log"


@dataclass
class Ordeal:
    database: str
    writer: Writing
    tally: ProjectionRunner

    def refused(self) -> int:
        """How many commands have been told that the log is not available."""
        return self.writer.ledger.read_bytes().count(b'"unavailable"')

    def is_refused(self, more: int = 3, within_s: float = 60.0) -> None:
        """Waits until so many more commands have been told so."""
        before = self.refused()
        assert wait_until(lambda: self.refused() >= before + more, time_limit_s=within_s), (
            "nobody was told that anything is wrong"
        )

    def follows(self, within_s: float = 60.0) -> None:
        """Waits until the projection has come further than the log is now."""
        with psycopg.connect(self.database) as admin:
            row = admin.execute("SELECT coalesce(max(position), 0) FROM log.positions").fetchone()
        assert row is not None
        head = int(row[0])
        assert wait_until(lambda: self.tally.position > head, time_limit_s=within_s), (
            "the projection stands still"
        )


@contextmanager
def ordeal(
    server: FaultyServer,
    *,
    log: str = PRODUCT_LOG,
    sequencer: type[Sequencer] = Sequencer,
    callers: int = 8,
    seed: int = 1,
    line: Proxy | None = None,
    prepare: Callable[[str], None] = make_tally,
    **settings: Any,
) -> Iterator[Ordeal]:
    """`log` names what the writers append with; `line` is what they reach the server over.

    `prepare` may do something to the database first.
    """
    with fresh_database(server.shared) as database:
        prepare(database)
        as_writer = role_conninfo(database, WRITER, ROLE_SECRET)
        sequencing = sequencer(as_writer, **settings)
        sequencing.start()
        ledger = server.folder / f"ledger-{server.shared.next_name()}"
        try:
            with tallying(database) as tally:
                with writing(
                    line.conninfo(as_writer) if line else as_writer,
                    ledger,
                    log=log,
                    callers=callers,
                    seed=seed,
                ) as writer:
                    yield Ordeal(database, writer, tally)
                assert wait_until(server.answers, time_limit_s=60), "the server has not come back"
                all_is_well(database, Ledger.read(ledger), tally, as_writer)
        finally:
            assert sequencing.stop()


def all_is_well(database: str, ledger: Ledger, tally: ProjectionRunner, as_writer: str) -> None:
    """Whatever was acknowledged is in its place, and the projection has met all of it once."""
    head = sequence_all(as_writer)
    check_log(database, ledger)
    assert wait_until(lambda: tally.position >= head, time_limit_s=60), (
        f"the projection stands at {tally.position} of {head}"
    )
    check_tally(database)
    with psycopg.connect(database) as admin:
        aside = admin.execute("SELECT position, error FROM ops.set_aside_events LIMIT 3").fetchall()
    assert not aside, f"a fault of the server was taken for a poison event: {aside}"
