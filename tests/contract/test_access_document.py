"""What the document says of who may call is what the routes do: asked as everybody, over all operations."""

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from infra.application import build_app, whole_document
from infra.http.guards import RequireRole
from infra.observability.metrics import new_registry
from infra.settings import Settings

DOCUMENT = whole_document()
OPERATIONS = [
    pytest.param(path, method, operation, id=operation["operationId"])
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if path.startswith("/api/")
]
ROLES = {"student", "parent", "teacher", "tutor", "org_admin", "zone_admin", "sys_admin", "service"}


def roles_asked_for(dependant):
    for each in dependant.dependencies:
        if isinstance(each.call, RequireRole):
            yield each.call.roles
        yield from roles_asked_for(each)


@pytest.fixture(scope="module")
def guards(tmp_path_factory):
    app = build_app(Settings(var_dir=tmp_path_factory.mktemp("var")), new_registry(), None, "all")
    return {
        (route.path_format, method.lower()): set(roles_asked_for(route.dependant))
        for route in iter_route_contexts(app.routes)
        if isinstance(getattr(route, "dependant", None), Dependant)
        for method in route.methods or ()
    }


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_an_operation_says_who_may_call_it_as_its_guards_do(guards, path, method, operation):
    assert operation["x-access"] in {"public", "signed-in", "attempt", "signature"}
    assert (operation["x-access"] != "public") == bool(operation.get("security"))
    said = {tuple(operation["x-roles"])} if "x-roles" in operation else set()
    assert said == guards[path, method]
    assert set(operation.get("x-roles", ())) <= ROLES
    assert "May be called by: " in operation["description"]


def test_some_operations_are_for_roles_and_some_for_a_zone():
    said = [each.values[2] for each in OPERATIONS]
    assert sum("x-roles" in each for each in said) >= 20
    assert any(each.get("x-zone") == "own" for each in said)
