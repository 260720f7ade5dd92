"""A disk that is full and has room again, under a log at work."""

import psycopg

from infra.postgres.processes import wait_until
from tests.support.faults.ordeal import Ordeal
from tests.support.faults.servers import FaultyServer

# So that the write-ahead log needs room soon, and has no old files to write into.
SETTINGS = {
    "wal_recycle": "off",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
}


def use_up_what_is_preallocated(server: FaultyServer, *, time_limit_s: float = 60.0) -> None:
    """The write-ahead log goes on into a file that it would have to make. Until it cannot."""

    def stuck() -> bool:
        try:
            with psycopg.connect(server.shared.admin_conninfo(), autocommit=True, connect_timeout=2) as admin:
                # Four megabytes a call: four calls are a file.
                admin.execute("SELECT pg_logical_emit_message(true, 'fill', repeat('x', 4194304))")
        except psycopg.OperationalError:
            return True
        return False

    assert wait_until(stuck, time_limit_s=time_limit_s), "the write-ahead log still finds room"


def full_and_free_again(server: FaultyServer, running: Ordeal, part: str) -> None:
    """`part` of the data folder: `base` (tables cannot grow), `pg_wal` (nothing can be committed), or all."""
    running.writer.goes_on()
    server.disk.fill(part)
    try:
        if part != "base":
            use_up_what_is_preallocated(server)
        running.is_refused()
    finally:
        server.disk.free()
    running.writer.goes_on()
    running.follows()
