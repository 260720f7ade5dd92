"""A running API with the demo set-up, for tests that play small data through it."""

import io

import pytest
from rich.console import Console

from infra.composition import new_id
from infra.sample.demo import set_up_demo
from tests.support.api import ZONE, running_api
from tests.support.postgres import fresh_database, run_folder

ORGANIZATION = "Demo school"


@pytest.fixture(scope="package")
def api(postgres_server):
    with (
        run_folder("sample") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as running,
    ):
        yield running


@pytest.fixture(scope="package")
def set_up(api):
    """Makes the demo set-up whose file lies in a folder."""

    def make(folder, name=ORGANIZATION):
        return api.run(set_up_demo(api.write, folder, ZONE, name, new_id))

    return make


@pytest.fixture
def demo(set_up, tmp_path):
    return set_up(tmp_path / "secrets")


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), width=100)
