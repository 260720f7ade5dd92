"""How the commands of `megacity log` reach the log, and write what is stored."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from infra.composition import System, open_system
from infra.log_reading.scan import Connection
from infra.postgres.roles import PROJECTOR
from infra.settings import load_settings


@contextmanager
def open_log() -> Iterator[tuple[System, Connection]]:
    """The system, and a connection that may read the log."""
    with (
        open_system(load_settings()) as system,
        psycopg.connect(system.conninfo(PROJECTOR), autocommit=True) as connection,
    ):
        yield system, connection


def print_line(line: bytes) -> None:
    """To standard output as it is: what is stored is UTF-8, whatever the terminal is set to."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
