"""One real PostgreSQL for a whole test run, and a migrated database of its own for each test that wants one.

    @pytest.fixture(scope="session")
    def postgres_server():
        with shared_server() as server:
            yield server

    @pytest.fixture
    def database(postgres_server):
        with fresh_database(postgres_server) as base_conninfo:
            yield base_conninfo

`role_conninfo(base_conninfo, roles.WRITER, ROLE_SECRET)` then signs in as the role that is meant.
"""

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from infra.postgres.embedded import EmbeddedPostgres
from infra.postgres.migrate import migrate
from infra.postgres.roles import admit_login_roles, ensure_database
from infra.postgres.runlock import AlreadyRunning, RunLock

CHECKOUT = Path(__file__).resolve().parents[2]
RUNS = CHECKOUT / "var" / "test"
ROLE_SECRET = b"only for the tests of this checkout"
_TEMPLATE = "megacity_template"
_folder_numbers = itertools.count(1)


@dataclass
class SharedServer:
    """A running server of the tests; the template database is made when first asked for."""

    embedded: EmbeddedPostgres
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _template_made: bool = False

    def admin_conninfo(self, dbname: str = "postgres") -> str:
        return self.embedded.superuser_conninfo(dbname)

    def template(self) -> str:
        if not self._template_made:
            ensure_database(self.admin_conninfo(), _TEMPLATE)
            migrate(self.admin_conninfo(_TEMPLATE), role_secret=ROLE_SECRET)
            self._template_made = True
        return _TEMPLATE

    def next_name(self) -> str:
        return f"megacity_test_{next(self._numbers)}"


@contextlib.contextmanager
def run_folder(prefix: str) -> Iterator[Path]:
    """A folder of this test run under var/test, thrown away with it; those of killed runs go first."""
    RUNS.mkdir(parents=True, exist_ok=True)
    for old in RUNS.glob(f"{prefix}-*"):
        _throw_away_if_left(old)
    folder = RUNS / f"{prefix}-{os.getpid()}-{next(_folder_numbers)}"
    folder.mkdir()
    with RunLock(folder / "run.lock"):
        yield folder
        shutil.rmtree(folder)


@contextlib.contextmanager
def shared_server() -> Iterator[SharedServer]:
    """Started once (about two seconds), with everything as in production, fsync included."""
    with run_folder("server") as folder, _embedded(folder) as embedded:
        yield SharedServer(embedded)


@contextlib.contextmanager
def fresh_database(server: SharedServer, *, migrated: bool = True) -> Iterator[str]:
    """The administrator's conninfo of a new database (a copy of a migrated one); dropped after."""
    template = server.template() if migrated else "template0"
    name = server.next_name()
    with psycopg.connect(server.admin_conninfo(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    try:
        if migrated:
            with psycopg.connect(server.admin_conninfo(name), autocommit=True) as connection:
                admit_login_roles(connection)  # a copy does not take the rights on its database along
        yield server.admin_conninfo(name)
    finally:
        with psycopg.connect(server.admin_conninfo(), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _embedded(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / "data", folder / "secrets", log_file=folder / "postgres.log")


def _throw_away_if_left(folder: Path) -> None:
    if psutil.pid_exists(int(folder.name.split("-")[-2])):
        return  # a run beside this one, which may not have locked it yet
    try:
        with RunLock(folder / "run.lock"):
            for pid_file in folder.rglob("postmaster.pid"):
                EmbeddedPostgres(pid_file.parent, folder / "secrets", log_file=folder / "postgres.log").stop(
                    timeout_s=5
                )
            shutil.rmtree(folder, ignore_errors=True)
    except AlreadyRunning:
        return  # a run beside this one
