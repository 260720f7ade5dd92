"""One running API for the tests of this folder; each test has schools of its own in it."""

import pytest

from tests.support.api import running_api
from tests.support.offices import an_office
from tests.support.postgres import fresh_database, run_folder


@pytest.fixture(scope="package")
def api(postgres_server):
    with (
        run_folder("organizations") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as running,
    ):
        yield running


@pytest.fixture
def office(api):
    return an_office(api)
