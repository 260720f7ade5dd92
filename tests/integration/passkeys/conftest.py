"""One API whose passkeys are for the site of the software authenticators, and one whose clock can be set."""

import pytest

from tests.support.api import Clock, running_api
from tests.support.authenticator import ORIGIN
from tests.support.postgres import fresh_database, run_folder

PASSKEYS = {"origins": [ORIGIN], "rp_id": "site.example.org", "name": "MegaCity"}


@pytest.fixture(scope="package")
def api(postgres_server):
    with (
        run_folder("passkeys") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder / "var", passkeys=PASSKEYS) as running,
    ):
        yield running


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def own_api(database, clock):
    with (
        run_folder("passkeys") as folder,
        running_api(database, folder / "var", clock=clock, passkeys=PASSKEYS) as running,
    ):
        yield running
