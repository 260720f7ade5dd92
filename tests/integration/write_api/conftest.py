"""One running API for the tests of this folder, and one of its own for a test that breaks something."""

import pytest

from tests.support.adaptive_api import adaptive_exam
from tests.support.api import Clock, running_api
from tests.support.postgres import fresh_database, run_folder


@pytest.fixture(scope="package")
def shared_api(postgres_server):
    with (
        run_folder("api") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as running,
    ):
        yield running


@pytest.fixture
def api(shared_api):
    """Shared: a test works with people, items and exams of its own in it."""
    return shared_api


@pytest.fixture(scope="package")
def shared_school(shared_api):
    return shared_api.school()


@pytest.fixture
def school(shared_school):
    return shared_school


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def own_api(database, clock):
    """One that no other test uses, whose clock can be set."""
    with run_folder("api") as folder, running_api(database, folder, clock=clock) as running:
        yield running


@pytest.fixture(scope="package")
def shared_api_without_engine(postgres_server):
    """Nothing decides in it but what a test lets decide."""
    with (
        run_folder("api") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, role="api", exam={"next_item_wait_s": 5.0}) as running,
    ):
        yield running


@pytest.fixture
def manual_api(shared_api_without_engine):
    return shared_api_without_engine


@pytest.fixture(scope="package")
def shared_manual_school(shared_api_without_engine):
    return shared_api_without_engine.school()


@pytest.fixture
def manual_school(shared_manual_school):
    return shared_manual_school


@pytest.fixture(scope="package")
def five_items(shared_manual_school):
    """An adaptive exam of five items for each examinee, which may be taken twice."""
    return adaptive_exam(shared_manual_school, attempts_allowed=2)
