"""One school and its neighbours, projected once; the tests look at it through many eyes."""

from collections.abc import Iterator

import pytest

from infra.http.principal import Principal
from tests.support.postgres import fresh_database
from tests.support.school import Client, School, a_school, an_app, client_of, principal, project
from tests.support.story import ORG, OTHER_ORG


@pytest.fixture(scope="session")
def school() -> School:
    return a_school()


@pytest.fixture(scope="session")
def school_database(postgres_server, school) -> Iterator[str]:
    """For all tests together, which only read it; `database` is empty and a test's own."""
    with fresh_database(postgres_server) as conninfo:
        project(conninfo, school.story)
        yield conninfo


@pytest.fixture(scope="session")
def principals(school) -> dict[str, Principal]:
    people = school.people
    return {
        "teacher": principal(people["teacher"], ("teacher", ORG)),
        "mina": principal(people["mina"], ("student", ORG)),
        "juno": principal(people["juno"], ("student", ORG)),
        "idle": principal(people["idle"], ("student", ORG)),
        "stranger": principal(people["stranger"], ("student", OTHER_ORG)),
        "other teacher": principal("user-elsewhere", ("teacher", OTHER_ORG)),
        "zone teacher": principal("user-of-the-zone", ("student", None), ("teacher", None)),
        "other zone": principal("user-in-kzone", ("student", None), zone_id="kzone"),
        "service": principal("client-player", ("service", ORG)),
        "org_admin": principal("user-org-admin", ("org_admin", ORG)),
        "other org_admin": principal("user-other-admin", ("org_admin", OTHER_ORG)),
        "zone_admin": principal("user-zone-admin", ("zone_admin", None)),
        "sys_admin": principal("user-admin", ("sys_admin", None)),
        "mina's attempt": principal(
            people["mina"], ("student", None), attempt_id=school.attempts["mina by_hand"]
        ),
    }


@pytest.fixture(scope="session")
def client(school_database, principals) -> Iterator[Client]:
    with client_of(an_app(school_database, principals)) as client:
        yield client
