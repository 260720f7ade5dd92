# ruff: noqa: ARG001 - routes name what they depend on, stories what they are told

from typing import Annotated

import msgspec
import pytest
from fastapi import APIRouter, Depends

from infra.http.guards import AttemptPrincipal, CurrentPrincipal, public, require_role, unguarded_routes
from infra.http.principal import Principal, RoleGrant
from infra.http.routing import ApiRoute
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
        "/api/v1/open": False,
    }


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
