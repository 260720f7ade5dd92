"""`megacity migrate`: bring the database schema up to date."""

from infra.cli.console import output, progress
from infra.database import open_database
from infra.postgres.migrate import migrate
from infra.settings import load_settings


def command() -> None:
    """Bring the database schema up to date."""
    settings = load_settings()
    tell = progress().print
    with open_database(settings, tell) as database:
        applied = migrate(database.admin_conninfo, role_secret=database.role_secret, progress=tell)
    output().print(f"{len(applied)} migrations applied." if applied else "The schema is up to date.")
