"""One running API whose payment provider signs with a known secret, and whose clock goes on by hand."""

import pytest

from tests.support.api import Clock, running_api
from tests.support.postgres import fresh_database, run_folder
from tests.support.subscriptions import SECRET


@pytest.fixture(scope="package")
def api(postgres_server):
    with run_folder("subscriptions") as folder, fresh_database(postgres_server) as conninfo:
        secrets = folder / "payments"
        secrets.write_text(SECRET)
        payments = {"webhook_secrets_file": secrets}
        with running_api(conninfo, folder, clock=Clock(), payments=payments) as running:
            yield running
