# ruff: noqa: ARG001 - routes name what they depend on, stories what they are told

from typing import Annotated

import msgspec
import pytest
import structlog
from fastapi import APIRouter, Depends, Request
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from infra.http.errors import InvalidToken
from infra.http.guards import (
    AttemptPrincipal,
    CurrentPrincipal,
    principal_of,
    public,
    require_role,
    require_zone_access,
    unguarded_routes,
)
from infra.http.principal import Principal, RoleGrant
from infra.http.rate_limits import RateLimits
from infra.http.routing import ApiRoute
from infra.rate_limits.addresses import Origin
from infra.rate_limits.in_process import InProcessRateLimiter
from infra.rate_limits.limiter import Limit
from infra.rate_limits.metrics import RateLimitMetrics
from tests.support.http import STUDENT, FakeServices, call, make_app

ATTEMPT = "attempt-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
TEACHER = msgspec.structs.replace(STUDENT, roles=(RoleGrant("teacher", "organization-1"),))
ON_ATTEMPT = msgspec.structs.replace(STUDENT, attempt_id=ATTEMPT)

router = APIRouter(route_class=ApiRoute)


@router.get("/me")
async def me(principal: CurrentPrincipal) -> str:
    return principal.subject_id


@router.post("/exams")
async def exams(principal: Annotated[Principal, Depends(require_role("teacher", "org_admin"))]) -> str:
    return principal.subject_id


@router.get("/attempts/{attempt_id}")
async def attempt(attempt_id: str, principal: AttemptPrincipal) -> str:
    return attempt_id


@router.get("/zones/{zone_id}", dependencies=[Depends(require_zone_access())])
async def zone(zone_id: str) -> str:
    return zone_id


class InZone(BaseModel):
    zone_id: str | None = None


@router.post("/things", dependencies=[Depends(require_role("teacher")), Depends(require_zone_access())])
async def things(body: InZone) -> str | None:
    return body.zone_id


@router.get("/open", dependencies=[Depends(public)])
async def open_to_all() -> str:
    return "open"


@pytest.fixture
def services():
    return FakeServices()


@pytest.fixture
def app(services):
    return make_app(router, services=services)


def type_of(response):
    return response.status_code, response.json()["type"].removeprefix("urn:megacity:problem:")


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}, {"Authorization": "token"}]
)
def test_without_a_token_the_answer_is_401_with_a_challenge(app, headers):
    response = call(app, "GET", "/api/v1/me", headers=headers)
    assert type_of(response) == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == 'Bearer realm="megacity"'


def test_a_token_that_is_not_valid_is_401_with_the_reason(app, services):
    bearer = services.bearer()
    services.clock.now = services.clock.now.replace(hour=23)
    for headers in (bearer, {"Authorization": "Bearer x.y.z"}):
        response = call(app, "GET", "/api/v1/me", headers=headers)
        assert type_of(response) == (401, "invalid-token")
        assert 'error="invalid_token"' in response.headers["www-authenticate"]


def test_whoever_is_signed_in_is_known_to_the_route(app, services):
    assert call(app, "GET", "/api/v1/me", headers=services.bearer()).json() == STUDENT.subject_id


def test_a_role_opens_what_asks_for_it_and_nothing_else_does(app, services):
    assert call(app, "POST", "/api/v1/exams", headers=services.bearer(TEACHER)).status_code == 200
    response = call(app, "POST", "/api/v1/exams", headers=services.bearer(STUDENT))
    assert type_of(response) == (403, "role-required")
    assert response.json()["roles"] == ["teacher", "org_admin"]


def test_an_attempt_token_opens_its_attempt_and_nothing_else(app, services):
    bearer = services.bearer(ON_ATTEMPT)
    assert call(app, "GET", f"/api/v1/attempts/{ATTEMPT}", headers=bearer).status_code == 200
    for method, path in [("GET", "/attempts/attempt-2"), ("GET", "/me"), ("POST", "/exams")]:
        assert type_of(call(app, method, f"/api/v1{path}", headers=bearer)) == (403, "attempt-token-only")


def test_an_ordinary_token_opens_the_attempt_routes_too(app, services):
    assert call(app, "GET", f"/api/v1/attempts/{ATTEMPT}", headers=services.bearer()).status_code == 200
    assert call(app, "GET", f"/api/v1/attempts/{ATTEMPT}").status_code == 401


def test_a_public_route_asks_for_nothing(app):
    assert call(app, "GET", "/api/v1/open").json() == "open"


def test_a_zone_that_is_named_has_to_be_one_s_own(app, services):
    bearer = services.bearer(TEACHER)
    assert call(app, "GET", "/api/v1/zones/univprep", headers=bearer).json() == "univprep"
    assert type_of(call(app, "GET", "/api/v1/zones/kzone", headers=bearer)) == (403, "zone-not-yours")
    assert call(app, "GET", "/api/v1/zones/univprep").status_code == 401
    for body, status in (({"zone_id": "univprep"}, 200), ({}, 200), ({"zone_id": "kzone"}, 403)):
        assert call(app, "POST", "/api/v1/things", headers=bearer, json=body).status_code == status
    forged = {**bearer, "X-Zone-Id": "kzone", "Zone": "kzone"}
    assert call(app, "GET", "/api/v1/zones/kzone", headers=forged).status_code == 403


def test_a_sys_admin_enters_any_zone_and_it_is_logged(app, services):
    bearer = services.bearer(msgspec.structs.replace(STUDENT, roles=(RoleGrant("sys_admin"),)))
    with structlog.testing.capture_logs() as told:
        assert call(app, "GET", "/api/v1/zones/univprep", headers=bearer).status_code == 200
        assert call(app, "GET", "/api/v1/zones/kzone", headers=bearer).status_code == 200
    [used] = [each for each in told if each["event"] == "admin right used"]
    assert (used["right"], used["zone_id"], used["own_zone_id"]) == ("enter_zone", "kzone", "univprep")


def test_a_role_over_zones_is_worth_nothing_where_one_organisation_has_given_it(app, services):
    bounded = msgspec.structs.replace(STUDENT, roles=(RoleGrant("sys_admin", "organization-1"),))
    assert not bounded.has_role("sys_admin")
    assert not bounded.has_role("sys_admin", org_id="organization-1")
    response = call(app, "GET", "/api/v1/zones/kzone", headers=services.bearer(bounded))
    assert type_of(response) == (403, "zone-not-yours")


class CountingVerifier:
    def __init__(self, verifier):
        self._verifier = verifier
        self.calls = 0

    def verify(self, token):
        self.calls += 1
        return self._verifier.verify(token)


def test_a_token_is_verified_once_for_a_request_also_where_it_is_refused(app, services):
    services.token_verifier = counting = CountingVerifier(services.token_verifier)
    app.state.rate_limits = RateLimits(
        limiter=InProcessRateLimiter(),
        metrics=RateLimitMetrics.create(CollectorRegistry()),
        origin=Origin(),
        **{name: Limit(name, 1, 1_000) for name in ("user", "service", "address", "network", "account")},
    )
    assert call(app, "POST", "/api/v1/exams", headers=services.bearer(TEACHER)).status_code == 200
    assert counting.calls == 1
    refused = call(app, "POST", "/api/v1/exams", headers={"Authorization": "Bearer x.y.z"})
    assert type_of(refused) == (401, "invalid-token")
    assert counting.calls == 2


def test_an_answer_that_goes_on_may_have_the_token_verified_again(services):
    header = services.bearer()["Authorization"].encode()
    request = Request({"type": "http", "headers": [(b"authorization", header)]})
    assert principal_of(request, services) == STUDENT
    services.clock.now = services.clock.now.replace(hour=23)
    assert principal_of(request, services) == STUDENT
    with pytest.raises(InvalidToken):
        principal_of(request, services, again=True)


def test_a_route_without_a_guard_is_found():
    careless = APIRouter(route_class=ApiRoute)

    @careless.post("/careless/{thing_id}")
    async def careless_route(thing_id: str) -> None: ...

    assert unguarded_routes(make_app(router)) == []
    assert unguarded_routes(make_app(router, careless)) == ["POST /api/v1/careless/{thing_id}"]


def test_the_document_says_which_routes_want_a_token(app):
    document = app.openapi()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["components"]["securitySchemes"]["bearer"]["bearerFormat"] == "JWT"
    secured = {
        path: "security" in operation
        for path, operations in document["paths"].items()
        for operation in operations.values()
    }
    assert secured == {
        "/api/v1/me": True,
        "/api/v1/exams": True,
        "/api/v1/attempts/{attempt_id}": True,
        "/api/v1/zones/{zone_id}": True,
        "/api/v1/things": True,
        "/api/v1/open": False,
    }


def test_the_document_says_who_may_call_each_route(app):
    for _ in range(2):  # asked for again it is the same
        paths = app.openapi()["paths"]
        said = {
            path: {
                name: value
                for name, value in operation.items()
                if name in {"x-access", "x-roles", "x-zone", "description"}
            }
            for path, operations in paths.items()
            for operation in operations.values()
        }
        assert said == {
            "/api/v1/me": {
                "x-access": "signed-in",
                "description": "May be called by: whoever is signed in.",
            },
            "/api/v1/exams": {
                "x-access": "signed-in",
                "x-roles": ["teacher", "org_admin"],
                "description": "May be called by: `teacher`, `org_admin`.",
            },
            "/api/v1/attempts/{attempt_id}": {
                "x-access": "attempt",
                "description": "May be called by: whoever is signed in, and the token of this attempt.",
            },
            "/api/v1/zones/{zone_id}": {
                "x-access": "signed-in",
                "x-zone": "own",
                "description": "May be called by: whoever is signed in; in their own zone, but for"
                " `sys_admin`.",
            },
            "/api/v1/things": {
                "x-access": "signed-in",
                "x-roles": ["teacher"],
                "x-zone": "own",
                "description": "May be called by: `teacher`; in their own zone, but for `sys_admin`.",
            },
            "/api/v1/open": {"x-access": "public", "description": "May be called by: anybody."},
        }


def test_two_guards_that_name_different_roles_are_refused():
    router = APIRouter(route_class=ApiRoute, dependencies=[Depends(require_role("teacher"))])

    @router.get("/both", dependencies=[Depends(require_role("org_admin"))])
    async def both() -> None: ...

    with pytest.raises(ValueError, match="which roles may call"):
        make_app(router).openapi()


def test_a_principal_knows_its_kind_roles_and_organisations():
    grants = (
        RoleGrant("teacher", "organization-2"),
        RoleGrant("org_admin", "organization-1"),
        RoleGrant("student"),
    )
    principal = msgspec.structs.replace(STUDENT, roles=grants)
    assert principal.org_ids == ("organization-1", "organization-2")
    assert principal.kind == "user"
    assert msgspec.structs.replace(STUDENT, subject_id="client-1").kind == "service"
    assert principal.has_role("teacher", org_id="organization-2")
    assert not principal.has_role("teacher", org_id="organization-1")
    assert principal.has_role("student", org_id="organization-1")  # held in the whole zone
