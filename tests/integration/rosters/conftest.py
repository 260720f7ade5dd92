"""One running API for the tests of this folder."""

import pytest

from tests.support.api import running_api
from tests.support.postgres import fresh_database, run_folder


@pytest.fixture(scope="package")
def api(postgres_server):
    with (
        run_folder("rosters") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as running,
    ):
        yield running


@pytest.fixture
def school(api):
    return api.school("한빛고등학교")


@pytest.fixture
def admin(school):
    return school.admin()
