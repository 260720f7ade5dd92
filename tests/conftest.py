"""What all tests share: one PostgreSQL for the run, and a database of its own for each test that asks."""

import signal
from collections.abc import Iterator

import pytest

from tests.support.postgres import SharedServer, fresh_database, shared_server

# A shell that runs us in the background lets us ignore Ctrl-C, and what we start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[SharedServer]:
    with shared_server() as server:
        yield server


@pytest.fixture
def database(postgres_server: SharedServer) -> Iterator[str]:
    """Conninfo of a fresh, migrated database, as superuser."""
    with fresh_database(postgres_server) as base_conninfo:
        yield base_conninfo


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
