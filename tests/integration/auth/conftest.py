"""Two processes over one database and one folder of secrets."""

import pytest

from tests.support.api import Clock, running_api
from tests.support.postgres import fresh_database, run_folder


@pytest.fixture(scope="package")
def auth_database(postgres_server):
    with fresh_database(postgres_server) as conninfo:
        yield conninfo


@pytest.fixture(scope="package")
def auth_folder():
    with run_folder("auth") as folder:
        yield folder


@pytest.fixture(scope="package")
def api(auth_database, auth_folder):
    """Shared: a test works with people of its own in it."""
    with running_api(auth_database, auth_folder) as running:
        yield running


@pytest.fixture(scope="package")
def elsewhere(auth_database, auth_folder, api):
    """Another process of the same installation."""
    del api  # the first one has made the secrets
    with running_api(auth_database, auth_folder, role="api") as running:
        yield running


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def own_api(database, clock):
    """One that no other test uses, whose clock can be set."""
    with run_folder("auth") as folder, running_api(database, folder, clock=clock) as running:
        yield running
