"""A sequencer beside the workload, and logs of any length."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from domain.events import RecordedEvent
from infra.postgres.roles import WRITER, role_conninfo
from tests.benchmarks.appending import EVENTS_PER_STREAM, an_event, new_stream
from tests.support.api import eventually
from tests.support.event_logs import CODEC
from tests.support.postgres import CHECKOUT, ROLE_SECRET

_PROGRAM = """
import os, threading
from infra.sequencer.sequencer import Sequencer
Sequencer(os.environ["CONNINFO"]).start()
threading.Event().wait()
"""
_COLUMNS = "stream_id, version, type, meta, payload, leaf"
_TEMPLATES = 30_000


@contextmanager
def sequencer_running(conninfo: str) -> Iterator[None]:
    """A sequencer in a process of its own, as `megacity serve sequencer` runs it; it leads."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "CONNINFO": role_conninfo(conninfo, WRITER, ROLE_SECRET),
            "PYTHONPATH": str(CHECKOUT),
        },
    )
    try:
        with psycopg.connect(conninfo, autocommit=True) as admin:
            eventually(
                lambda: admin.execute(
                    "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)"
                    " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
                    " AND application_name = 'megacity sequencer'"
                ).fetchall()
            )
        yield
    finally:
        process.terminate()
        process.wait()


def fill(conninfo: str, count: int) -> None:
    """So many events of 1 KiB, in streams of thirty, without positions. `conninfo` is the administrator's.

    A few thousand are encoded; the database repeats them for other streams.
    """
    with psycopg.connect(conninfo) as admin, admin.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute("CREATE TEMP TABLE templates (LIKE log.events)")
        cursor.execute(
            "ALTER TABLE templates ALTER append_id ADD GENERATED ALWAYS AS IDENTITY, ALTER xid DROP NOT NULL"
        )
        templates = min(count, _TEMPLATES)
        with cursor.copy(f"COPY templates ({_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "int8", "text", "bytea", "bytea", "bytea"])
            stream_id, version = new_stream(), 0
            for number in range(templates):
                version += 1
                new = an_event(number)
                stored = CODEC.encode(RecordedEvent(stream_id, version, new.metadata, new.event))
                copy.write_row(
                    (stored.stream_id, stored.version, stored.type, stored.meta, stored.payload, stored.leaf)
                )
                if version == EVENTS_PER_STREAM:
                    stream_id, version = new_stream(), 0
        (number,) = cursor.execute("SELECT count(*) / %s + 1 FROM log.events", [_TEMPLATES]).fetchone() or (
            0,
        )
        while count > 0:
            cursor.execute(
                f"INSERT INTO log.events ({_COLUMNS})"
                " SELECT left(stream_id, -6) || lpad(to_hex(%s::int), 6, '0'),"
                " version, type, meta, payload, leaf FROM templates ORDER BY append_id LIMIT %s",
                [number, min(count, templates)],
            )
            number, count = number + 1, count - templates
        cursor.execute("DROP TABLE templates")
