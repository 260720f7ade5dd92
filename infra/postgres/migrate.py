"""Forward-only migrations: the plain SQL files of `migrations/`, each applied once, in order.

    NNNN_name.sql     four digits, then small letters; never changed once applied

A file runs in one transaction together with its row in `ops.schema_migrations`, as megacity_owner, with
`search_path` pg_catalog alone (so every name is written with its schema). Its first lines may say:

    -- run-as: admin               as the connecting user instead (roles, schemas)
    -- lock-timeout: 10s           how long it may wait for a lock (and hold up others meanwhile)
    -- statement-timeout: 30min    how long one of its statements may take
"""

import functools
import hashlib
import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import psycopg
from psycopg import errors, sql
from psycopg.rows import tuple_row

from infra.postgres.errors import (
    MigrationChanged,
    MigrationError,
    MigrationFailed,
    MigrationFilesWrong,
    MigrationLockTimeout,
    MigrationOutOfOrder,
    MigrationUnknown,
)
from infra.postgres.roles import OWNER, admit_login_roles, set_role_passwords

MIGRATIONS_DIR: Final = Path(__file__).with_name("migrations")
OLDEST_SERVER: Final = 15

_LOCK_KEY = 0x6D656761_63697479  # "megacity"
_LOCK_LOOK_EVERY_S = 0.1
_CONNECT_LIMIT_S = 10
_FILE_NAME = re.compile(r"(?P<version>\d{4})_[a-z0-9_]+\.sql")
_HEADER = re.compile(r"--\s*(?P<key>[a-z-]+):\s*(?P<value>\S+)\s*")
_DEFAULT_HEADERS = {"run-as": "owner", "lock-timeout": "10s", "statement-timeout": "5min"}
# Two databases of one server share the roles: whoever is second to touch one is told to come again.
_ROLE_COLLISION_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    text: str
    sha256: str
    run_as_admin: bool
    lock_timeout: str
    statement_timeout: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises MigrationFilesWrong for a name or a header that does not fit."""
        named = _FILE_NAME.fullmatch(path.name)
        if named is None:
            raise MigrationFilesWrong(f"{path.name} is not named NNNN_name.sql (small letters, digits, _)")
        text = path.read_text(encoding="utf-8")  # universal newlines: the hash is the same on every checkout
        headers = _DEFAULT_HEADERS | _headers(path.name, text)
        if headers["run-as"] not in {"owner", "admin"}:
            raise MigrationFilesWrong(f"{path.name}: run-as is owner or admin, not {headers['run-as']}")
        return cls(
            version=int(named["version"]),
            name=path.stem,
            text=text,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            run_as_admin=headers["run-as"] == "admin",
            lock_timeout=headers["lock-timeout"],
            statement_timeout=headers["statement-timeout"],
        )


def migrate(
    conninfo: str,
    *,
    role_secret: bytes,
    progress: Callable[[str], None] | None = None,
    migrations_dir: Path = MIGRATIONS_DIR,
    lock_time_limit_s: float = 300.0,
) -> list[str]:
    """Bring the database up to date; answers the names of what was applied now.

    `conninfo` signs in as a superuser, or as a user with CREATEROLE who owns the database. Several
    processes may call this at once: one works, the others wait for it and then find nothing to do.

    Raises:
        MigrationError and its kinds; PostgresError when a role cannot sign in afterwards.
    """
    tell = progress or _silent
    known = read_migrations(migrations_dir)
    with (
        psycopg.connect(conninfo, autocommit=True, application_name="megacity migrate") as connection,
        _alone(connection, lock_time_limit_s, tell),
    ):
        _check_server(connection)
        todo = _not_applied(connection, known)
        for migration in todo:
            tell(f"Migration {migration.name}")
            _retry_role_collisions(connection, functools.partial(_apply, connection, migration))
        if known:
            _retry_role_collisions(connection, lambda: admit_login_roles(connection))
            _retry_role_collisions(connection, lambda: set_role_passwords(connection, conninfo, role_secret))
    return [migration.name for migration in todo]


def pending(conninfo: str, *, migrations_dir: Path = MIGRATIONS_DIR) -> list[str]:
    """Names of what `migrate` would apply. Any role that may read ops.schema_migrations can ask.

    Raises MigrationError as `migrate` does, when files and database contradict each other.
    """
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=_CONNECT_LIMIT_S) as connection:
        return pending_on(connection, migrations_dir=migrations_dir)


def pending_on(connection: psycopg.Connection[Any], *, migrations_dir: Path = MIGRATIONS_DIR) -> list[str]:
    """As `pending`, over a connection that is there."""
    return [migration.name for migration in _not_applied(connection, read_migrations(migrations_dir))]


def read_migrations(migrations_dir: Path = MIGRATIONS_DIR) -> list[Migration]:
    """In order. Raises MigrationFilesWrong when two have one number or a name does not fit."""
    found = sorted(map(Migration.read, migrations_dir.glob("*.sql")), key=lambda each: each.name)
    for before, after in itertools.pairwise(found):
        if before.version == after.version:
            raise MigrationFilesWrong(f"{before.name} and {after.name} have the same number")
    return found


def _not_applied(connection: psycopg.Connection[Any], known: Sequence[Migration]) -> list[Migration]:
    applied = _applied(connection)
    by_version = {migration.version: migration for migration in known}
    if unknown := [name for version, (name, _) in applied.items() if version not in by_version]:
        raise MigrationUnknown(unknown)
    if changed := [
        by_version[version].name
        for version, (name, sha256) in applied.items()
        if (by_version[version].name, by_version[version].sha256) != (name, sha256)
    ]:
        raise MigrationChanged(changed)
    todo = [migration for migration in known if migration.version not in applied]
    newest = max(applied, default=-1)
    if late := [migration.name for migration in todo if migration.version < newest]:
        raise MigrationOutOfOrder(late, by_version[newest].name)
    return todo


def _applied(connection: psycopg.Connection[Any]) -> dict[int, tuple[str, str]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        exists = cursor.execute("SELECT to_regclass('ops.schema_migrations') IS NOT NULL").fetchone()
        if exists is None or not exists[0]:
            return {}
        rows = cursor.execute("SELECT version, name, sha256 FROM ops.schema_migrations ORDER BY version")
        return {version: (name, sha256) for version, name, sha256 in rows}


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            for setting, value in (
                ("lock_timeout", migration.lock_timeout),
                ("statement_timeout", migration.statement_timeout),
                ("search_path", "pg_catalog"),
            ):
                connection.execute("SELECT set_config(%s, %s, true)", [setting, value])
            if not migration.run_as_admin:
                connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
            began = _transaction_id(connection)
            connection.execute(migration.text.encode())
            if _transaction_id(connection) != began:
                raise MigrationFilesWrong(
                    f"{migration.name} ends its transaction itself; what it did may be kept half. "
                    "Take its COMMIT or ROLLBACK out."
                )
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
            connection.execute(
                "INSERT INTO ops.schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
                [migration.version, migration.name, migration.sha256],
            )
    except psycopg.Error as error:
        if _is_role_collision(error):
            raise
        raise MigrationFailed(migration.name, str(error).strip(), sqlstate=error.sqlstate) from error


def _transaction_id(connection: psycopg.Connection) -> object:
    return connection.execute("SELECT pg_current_xact_id()").fetchone()


def _check_server(connection: psycopg.Connection) -> None:
    if connection.info.server_version < OLDEST_SERVER * 10_000:
        raise MigrationError(
            f"The server is PostgreSQL {connection.info.server_version // 10_000}; "
            f"{OLDEST_SERVER} is the oldest that will do."
        )
    row = connection.execute("SHOW server_encoding").fetchone()
    if row is None or row[0] != "UTF8":
        raise MigrationError(f"The database's encoding is {row and row[0]}; UTF8 is needed.")


@contextmanager
def _alone(
    connection: psycopg.Connection, time_limit_s: float, tell: Callable[[str], None]
) -> Iterator[None]:
    """Hold the advisory lock. Asked for again and again, as a waiting statement would hold a snapshot."""
    gives_up_at = time.monotonic() + time_limit_s
    waiting = False
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK_KEY]).fetchone()
        if row is not None and row[0]:
            break
        if time.monotonic() >= gives_up_at:
            raise MigrationLockTimeout(time_limit_s)
        if not waiting:
            tell("Waiting for another process that migrates this database")
            waiting = True
        time.sleep(_LOCK_LOOK_EVERY_S)
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK_KEY])


def _retry_role_collisions(connection: psycopg.Connection, step: Callable[[], object]) -> None:
    for attempt in range(_ROLE_COLLISION_ATTEMPTS):
        try:
            step()
        except psycopg.Error as error:
            if connection.broken or not _is_role_collision(error) or attempt + 1 == _ROLE_COLLISION_ATTEMPTS:
                raise
            time.sleep(0.05 * (attempt + 1))
        else:
            return


def _is_role_collision(error: psycopg.Error) -> bool:
    """Two sessions changed the same role; PostgreSQL has no SQLSTATE of its own for it."""
    if isinstance(error, errors.InternalError_):
        return "tuple concurrently" in str(error)
    return isinstance(error, errors.UniqueViolation) and (error.diag.table_name or "").startswith("pg_")


def _headers(name: str, text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        header = _HEADER.fullmatch(line)
        if header is not None and header["key"] in _DEFAULT_HEADERS:
            found[header["key"]] = header["value"]
    wrong = [
        key for key, value in found.items() if "timeout" in key and not re.fullmatch(r"\d+(s|min)", value)
    ]
    if wrong:
        raise MigrationFilesWrong(f"{name}: {', '.join(wrong)} is written like 30s or 5min")
    return found


def _silent(_: str) -> None:
    pass
