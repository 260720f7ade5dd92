"""The database that a process works with: the embedded one, or the one that DATABASE_URL names."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from infra.postgres.embedded import EmbeddedPostgres
from infra.postgres.roles import ensure_database, role_conninfo
from infra.secrets_files import read_or_create_secret
from infra.settings import Settings

Tell = Callable[[str], None]

RECONNECT_TIMEOUT_S: Final = 2.0
"""How long a pool tries by itself to replace lost connections, at growing intervals. After that the next
request makes it try again: so it is back as soon as the database is, however long that was away."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """Where it is and how each role signs in."""

    admin_conninfo: str
    role_secret: bytes

    def conninfo(self, role: str) -> str:
        return role_conninfo(self.admin_conninfo, role, self.role_secret)


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    return EmbeddedPostgres(
        settings.postgres_data_dir,
        settings.secrets_dir,
        port=settings.database.embedded_port,
        log_file=settings.postgres_log_file,
    )


def start_embedded(settings: Settings, server: EmbeddedPostgres, tell: Tell) -> Database:
    """Starts the server, or finds the one that runs, and makes sure that the database is there."""
    server.start(tell)
    ensure_database(server.superuser_conninfo(), settings.database.embedded_name)
    return Database(
        admin_conninfo=server.superuser_conninfo(settings.database.embedded_name),
        role_secret=read_or_create_secret(settings.database.role_secret_file),
    )


@contextmanager
def open_database(settings: Settings, tell: Tell = lambda _: None) -> Iterator[Database]:
    """The database for one command. An embedded server that runs already goes on running afterwards."""
    if settings.database.url is not None:
        yield Database(
            admin_conninfo=settings.database.url.get_secret_value(),
            role_secret=read_or_create_secret(settings.database.role_secret_file),
        )
        return
    server = embedded_postgres(settings)
    belongs_to_another = server.status().running
    database = start_embedded(settings, server, tell)
    if belongs_to_another:
        server.leave_running()
    try:
        yield database
    finally:
        if not belongs_to_another:
            server.stop()
