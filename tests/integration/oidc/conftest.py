"""One API that knows two issuers of this machine, and one of its own for a test that sets the clock."""

import pytest

from tests.support.api import Clock, running_api
from tests.support.oidc_issuer import running_issuer
from tests.support.postgres import fresh_database, run_folder

SECRET = "a secret that only we and the issuer know"


def providers_of(issuer, folder, *others):
    secret_file = folder / "client-secret"
    secret_file.write_text(SECRET + "\n")
    return {
        "providers": [
            {
                "name": "example",
                "title": "Example ID",
                "issuer": issuer.url,
                "client_id": "megacity",
                "client_secret_file": str(secret_file),
                "redirect_uri": "https://site.example.org/sign-in/example",
            },
            *({"name": name, "issuer": other.url, "client_id": f"megacity-{name}"} for name, other in others),
        ]
    }


@pytest.fixture(scope="package")
def shared_issuers():
    with running_issuer() as first, running_issuer(algorithm="ES256") as second:
        first.add_client("megacity", SECRET)
        first.add_client("another", "another secret")
        second.add_client("megacity-second")
        yield first, second


@pytest.fixture
def issuer(shared_issuers):
    yield shared_issuers[0]
    shared_issuers[0].truthful()


@pytest.fixture
def second_issuer(shared_issuers):
    yield shared_issuers[1]
    shared_issuers[1].truthful()


@pytest.fixture(scope="package")
def api(postgres_server, shared_issuers):
    first, second = shared_issuers
    with run_folder("oidc") as folder, fresh_database(postgres_server) as conninfo:
        oidc = providers_of(first, folder, ("second", second))
        with running_api(conninfo, folder / "var", oidc=oidc) as running:
            yield running


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def own_issuer(clock):
    with running_issuer(now_s=lambda: clock().timestamp()) as issuer:
        issuer.add_client("megacity", SECRET)
        yield issuer


@pytest.fixture
def own_api(database, clock, own_issuer):
    with run_folder("oidc") as folder:
        oidc = providers_of(own_issuer, folder)
        with running_api(database, folder / "var", clock=clock, oidc=oidc) as running:
            yield running
