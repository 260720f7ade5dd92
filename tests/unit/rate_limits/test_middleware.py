"""What the wall does to requests and says to those who send them."""

import re

import msgspec
import pytest
from fastapi import APIRouter, Depends
from prometheus_client import CollectorRegistry

from infra.http.guards import CurrentPrincipal, public
from infra.http.middleware import QUIET_PATHS
from infra.http.principal import Principal, RoleGrant
from infra.http.rate_limits import RateLimits
from infra.http.routing import ApiRoute
from infra.rate_limits.addresses import Origin, networks
from infra.rate_limits.in_process import InProcessRateLimiter
from infra.rate_limits.limiter import Limit
from infra.rate_limits.metrics import RateLimitMetrics
from tests.support.http import call, make_app

HOUR_US = 3_600_000_000
ANN = Principal(subject_id="user-ann", zone_id="univprep", roles=(), session_id="one")
BEN = Principal(subject_id="user-ben", zone_id="univprep", roles=(), session_id="two")
SERVICE = Principal(
    subject_id="client-player", zone_id="univprep", roles=(RoleGrant("service"),), session_id="three"
)
PROXY, SCHOOL = "127.0.0.1", "203.0.113.0/24"

router = APIRouter(route_class=ApiRoute)


@router.get("/mine")
async def mine(principal: CurrentPrincipal) -> dict[str, str]:
    return {"subject": principal.subject_id}


@router.get("/open", dependencies=[Depends(public)])
async def open_to_all() -> dict[str, str]:
    return {}


WAYS_IN = [
    "login",
    "register",
    "token",
    "refresh",
    "password-reset",
    "password-reset/confirm",
    "email-verification",
    "passkey-options",
    "passkeys",
    "oidc/google/start",
    "oidc/google/callback",
]
for each in WAYS_IN:

    @router.post(f"/auth/{each}", dependencies=[Depends(public)])
    async def way_in() -> dict[str, str]:
        return {}


@router.post("/auth/logout")
async def logout(_principal: CurrentPrincipal) -> dict[str, str]:
    return {}


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def app(registry):
    made = make_app(router)
    made.state.rate_limits = RateLimits(
        limiter=InProcessRateLimiter(),
        metrics=RateLimitMetrics.create(registry),
        user=Limit("user", HOUR_US, 3),
        service=Limit("service", HOUR_US, 50),
        address=Limit("address", HOUR_US, 2),
        network=Limit("network", HOUR_US, 30),
        account=Limit("account", HOUR_US, 2),
        origin=Origin(networks([f"{PROXY}/32"]), networks([SCHOOL])),
    )
    return made


def statuses(app, path, times, **request):
    return [call(app, "GET", path, **request).status_code for _ in range(times)]


def from_address(address):
    return {"X-Forwarded-For": address}


def test_who_is_signed_in_is_counted_by_name_wherever_they_are(app):
    ann, ben = (app.state.services.bearer(each) for each in (ANN, BEN))
    assert statuses(app, "/api/v1/mine", 4, headers=ann) == [200, 200, 200, 429]
    assert statuses(app, "/api/v1/mine", 1, headers={**ann, **from_address("198.51.100.9")}) == [429]
    assert statuses(app, "/api/v1/mine", 1, headers=ben) == [200]


def test_a_second_token_is_no_second_helping(app):
    first = app.state.services.bearer(ANN)
    assert statuses(app, "/api/v1/mine", 2, headers=first) == [200, 200]
    for_attempt = app.state.services.bearer(
        Principal(
            subject_id=ANN.subject_id, zone_id="univprep", roles=(), session_id="x", attempt_id="attempt-1"
        )
    )
    # The guard lets no attempt's token through here; the wall before it has counted for the examinee.
    assert statuses(app, "/api/v1/mine", 2, headers=for_attempt) == [403, 429]


def test_a_service_has_a_rate_of_its_own_also_where_it_acts_for_an_examinee(app):
    service = app.state.services.bearer(SERVICE)
    assert set(statuses(app, "/api/v1/mine", 25, headers=service)) == {200}
    delegated = Principal(
        subject_id=ANN.subject_id,
        zone_id="univprep",
        roles=(),
        session_id="x",
        attempt_id="attempt-1",
        delegate=SERVICE.subject_id,
    )
    acting = app.state.services.bearer(delegated)
    assert set(statuses(app, "/api/v1/mine", 25, headers=acting)) == {403}
    assert statuses(app, "/api/v1/mine", 1, headers=service) == [429]
    assert statuses(app, "/api/v1/mine", 1, headers=app.state.services.bearer(ANN)) == [200]


def test_without_a_valid_token_the_address_counts(app):
    forged = {**from_address("198.51.100.7"), "Authorization": "Bearer nonsense"}
    assert statuses(app, "/api/v1/mine", 2, headers=forged) == [401, 401]
    assert statuses(app, "/api/v1/open", 1, headers=from_address("198.51.100.7")) == [429]
    assert statuses(app, "/api/v1/open", 1, headers=from_address("198.51.100.8")) == [200]


@pytest.mark.parametrize("way_in", WAYS_IN)
def test_where_people_sign_in_the_address_counts_whatever_token_comes_along(app, way_in):
    path = f"/api/v1/auth/{way_in}"
    tokens = [
        app.state.services.bearer(msgspec.structs.replace(ANN, subject_id=f"user-{n}")) for n in range(3)
    ]
    answers = [call(app, "POST", path, headers={**token, **from_address("198.51.100.7")}) for token in tokens]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[-1].json()["violated_policies"] == ["address"]
    assert int(answers[-1].headers["Retry-After"]) > 3_000
    assert answers[0].headers["RateLimit-Policy"] == '"user";q=3;w=10800, "address";q=2;w=7200'


def test_where_people_sign_in_whoever_sends_a_token_is_counted_too(app):
    ann = app.state.services.bearer(ANN)
    answers = [
        call(app, "POST", "/api/v1/auth/login", headers={**ann, **from_address(f"203.0.113.{n}")})
        for n in range(4)
    ]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert answers[-1].json()["violated_policies"] == ["user"]
    # A refusal has taken nothing from the school's network.
    assert '"network";r=27;' in answers[-1].headers["RateLimit"]


def test_who_signs_out_is_counted_by_name_alone(app):
    ann = {**app.state.services.bearer(ANN), **from_address("198.51.100.7")}
    assert [call(app, "POST", "/api/v1/auth/logout", headers=ann).status_code for _ in range(4)] == [
        200, 200, 200, 429,
    ]  # fmt: skip


def test_a_path_that_does_not_exist_counts_too(app):
    assert statuses(app, "/api/v1/nowhere", 3, headers=from_address("198.51.100.7")) == [404, 404, 429]


def test_an_organisation_s_addresses_share_a_larger_rate(app):
    found = [statuses(app, "/api/v1/open", 1, headers=from_address(f"203.0.113.{n}")) for n in range(31)]
    assert found == [[200]] * 30 + [[429]]


def test_what_machines_ask_all_the_time_is_free(app):
    for path in QUIET_PATHS:
        answers = [call(app, "GET", path) for _ in range(5)]
        assert {each.status_code for each in answers} == {404}  # this application has no such routes
        assert "RateLimit" not in answers[0].headers


def test_every_answer_tells_what_is_left(app):
    ann = app.state.services.bearer(ANN)
    answers = [call(app, "GET", "/api/v1/mine", headers=ann) for _ in range(4)]
    assert {each.headers["RateLimit-Policy"] for each in answers} == {'"user";q=3;w=10800'}
    # All of it is there again after one, two, three hours; a request after one.
    assert [each.headers["RateLimit"] for each in answers[:3]] == [
        '"user";r=2;t=3600',
        '"user";r=1;t=7200',
        '"user";r=0;t=10800',
    ]
    assert re.fullmatch(r'"user";r=0;t=3(600|599)', answers[3].headers["RateLimit"])


def test_a_refusal_is_a_problem_that_says_when_to_come_back(app, registry):
    ann = app.state.services.bearer(ANN)
    refused = [call(app, "GET", "/api/v1/mine", headers=ann) for _ in range(5)][-1]
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 3590 <= int(refused.headers["Retry-After"]) <= 3600
    document = refused.json()
    assert document["type"] == "urn:megacity:problem:rate-limited"
    assert document["violated_policies"] == ["user"]
    assert document["retry_after_s"] == pytest.approx(3600, abs=10)
    assert document["request_id"] == refused.headers["X-Request-Id"]
    assert registry.get_sample_value("megacity_rate_limit_refused_total", {"limit": "user"}) == 2
