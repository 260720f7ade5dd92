"""One school and its neighbours, projected once; the tests look at it through many eyes."""

from collections.abc import Iterator

import pytest

from infra.http.principal import Principal
from tests.support.postgres import fresh_database
from tests.support.school import (
    ORG_ELSEWHERE,
    Client,
    School,
    a_school,
    an_app,
    client_of,
    principal,
    project,
)
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
        "class teacher": principal(people["class teacher"], ("teacher", ORG)),
        "class tutor": principal(people["class tutor"], ("tutor", ORG)),
        "idle teacher": principal(people["idle teacher"], ("teacher", ORG)),
        "lapsed teacher": principal(people["lapsed teacher"], ("teacher", ORG)),
        "forger": principal(people["idle"], ("student", ORG), ("org_admin", ORG), ("sys_admin", None)),
        "mina": principal(people["mina"], ("student", ORG)),
        "juno": principal(people["juno"], ("student", ORG)),
        "idle": principal(people["idle"], ("student", ORG)),
        "left": principal(people["left"], ("student", ORG)),
        "parent": principal(people["parent"], ("parent", None)),
        "asking parent": principal(people["asking parent"], ("parent", None)),
        "teaching parent": principal(people["teaching parent"], ("teacher", ORG), ("parent", None)),
        "stranger": principal(people["stranger"], ("student", OTHER_ORG)),
        "other teacher": principal(people["other teacher"], ("teacher", OTHER_ORG)),
        "zone teacher": principal(people["zone teacher"], ("student", None), ("teacher", None)),
        "other zone": principal(people["other zone"], ("student", ORG_ELSEWHERE), zone_id="kzone"),
        "service": principal("client-player", ("service", ORG)),
        "org_admin": principal(people["org_admin"], ("org_admin", ORG)),
        "other org_admin": principal(people["other org_admin"], ("org_admin", OTHER_ORG)),
        "zone_admin": principal(people["zone_admin"], ("zone_admin", None)),
        "other zone_admin": principal(people["other zone admin"], ("zone_admin", None), zone_id="kzone"),
        "sys_admin": principal(people["sys_admin"], ("sys_admin", None)),
        "teaching sys_admin": principal(
            people["teaching sys_admin"], ("sys_admin", None), ("teacher", None), ("org_admin", ORG)
        ),
        "mina's attempt": principal(
            people["mina"], ("student", ORG), attempt_id=school.attempts["mina by_hand"]
        ),
    }


@pytest.fixture(scope="session")
def client(school_database, principals) -> Iterator[Client]:
    with client_of(an_app(school_database, principals)) as client:
        yield client
