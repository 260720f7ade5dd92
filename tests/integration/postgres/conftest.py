"""Servers of these tests' own: they are killed, moved and broken, so none of them is the shared one."""

import itertools
import shutil

import pytest

from infra.postgres.embedded import EmbeddedPostgres
from tests.support.postgres import fresh_database, run_folder, shared_server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def scratch_root():
    with run_folder("scratch") as folder:
        yield folder


@pytest.fixture
def scratch(scratch_root):
    """A folder of one test under var/test."""
    folder = scratch_root / str(next(_numbers))
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def prepare(scratch_root):
    """Puts a stopped server's folders where a test wants them: copying is faster than making them anew."""
    made = scratch_root / "prepared"
    with EmbeddedPostgres(made / "data", made / "secrets", log_file=made / "postgres.log"):
        pass

    def copy(folder):
        for part in ("data", "secrets"):
            shutil.copytree(made / part, folder / part)

    return copy


@pytest.fixture
def server_in(prepare):
    """Makes servers and ends, after the test, whatever runs in their folders."""
    made = []

    def make(folder, *, first_start=False, **options):
        if not first_start and "binaries" not in options and not (folder / "data").exists():
            prepare(folder)
        server = EmbeddedPostgres(
            folder / "data", folder / "secrets", log_file=folder / "postgres.log", **options
        )
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop(timeout_s=5)


@pytest.fixture(scope="session")
def standing_server():
    """A server that these tests only put databases on."""
    with shared_server() as server:
        yield server


@pytest.fixture
def migrated(standing_server):
    with fresh_database(standing_server) as conninfo:
        yield conninfo


@pytest.fixture
def empty(standing_server):
    with fresh_database(standing_server, migrated=False) as conninfo:
        yield conninfo
