"""An API to be held against its document."""

import pytest

from tests.support.api import running_api
from tests.support.postgres import fresh_database, run_folder


@pytest.fixture(scope="module")
def folder():
    with run_folder("contract") as made:
        yield made


@pytest.fixture(scope="module")
def api(postgres_server, folder):
    with (
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder / "var") as running,
    ):
        yield running


@pytest.fixture
def school(api):
    """Each asker's own: what one of them may do to people ends their sign-ins."""
    return api.school()
