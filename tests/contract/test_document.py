"""The OpenAPI document itself: committed as it is generated, and saying all that a client has to know."""

import json
import re

import jsonschema_rs
import pytest

from infra.application import build_app, whole_document
from infra.cli.openapi import DOCUMENTS, REFUSING_PACKAGES
from infra.http.guards import unguarded_routes
from infra.http.problem_types import problem_types
from infra.kafka.projection_consumer import ProjectionNotReady
from infra.observability.metrics import new_registry
from infra.settings import Settings
from tests.support.postgres import CHECKOUT

DOCUMENT = whole_document()
OPERATIONS = [
    pytest.param(path, method, operation, id=operation.get("operationId", f"{method} {path}"))
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
BY_ID = {operation.values[2].get("operationId"): operation.values[2] for operation in OPERATIONS}


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_the_committed_document_is_what_the_code_says(path):
    committed = (CHECKOUT / path).read_text(encoding="utf-8")
    assert committed == DOCUMENTS[path](), f"{path} is not up to date: run `make openapi`"


def test_what_else_a_process_has_imported_is_not_in_the_register_of_problems():
    # No client meets it: it is between a consumer and its projection.
    assert ProjectionNotReady.code not in {each.slug for each in problem_types(REFUSING_PACKAGES)}


def test_it_is_generated_the_same_way_every_time():
    assert json.dumps(whole_document(), sort_keys=True) == json.dumps(whole_document(), sort_keys=True)


def test_it_is_openapi_3_1_and_every_schema_in_it_is_a_schema():
    assert DOCUMENT["openapi"] == "3.1.0"
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for _, _, operation in (each.values for each in OPERATIONS):
        for schema in _schemas_in(operation):
            jsonschema_rs.meta.validate(schema)


def test_an_event_stream_says_what_an_event_is_in_words_that_3_1_has():
    [content] = BY_ID["followAttempt"]["responses"]["200"]["content"].items()
    media_type, described = content
    assert media_type == "text/event-stream"
    assert {"event", "id", "data"} <= described["schema"]["properties"].keys()
    assert "itemSchema" not in json.dumps(DOCUMENT)


def test_every_reference_leads_somewhere():
    text = json.dumps(DOCUMENT)
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert named <= DOCUMENT["components"]["schemas"].keys()
    assert set(re.findall(r'"\$ref": "([^"]+)"', text)) == {f"#/components/schemas/{each}" for each in named}


def test_operation_ids_are_explicit_and_each_names_one_operation():
    ids = [operation.values[2].get("operationId") for operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    for each in ids:
        assert re.fullmatch(r"[a-z]+(?:[A-Z][a-z]+)*", each), f"{each}: made by the framework?"


def test_there_are_no_two_schemas_for_one_thing():
    twins = [name for name in DOCUMENT["components"]["schemas"] if name.endswith(("-Input", "-Output"))]
    assert twins == []


def test_how_to_sign_in_is_told():
    assert DOCUMENT["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_every_route_names_who_may_call_it(tmp_path):
    app = build_app(Settings(var_dir=tmp_path), new_registry(), None, "all")
    assert unguarded_routes(app) == []


def test_a_role_serves_its_own_routes_and_documents_all_of_them(tmp_path):
    settings = Settings(var_dir=tmp_path)
    writing = build_app(settings, new_registry(), None, "write-api")
    reading = build_app(settings, new_registry(), None, "read-api")
    assert writing.openapi() == reading.openapi() == DOCUMENT


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_an_operation_says_what_it_is_and_what_it_refuses(path, method, operation):
    assert operation["summary"]
    declared = operation["responses"].keys()
    assert any(status.startswith("2") for status in declared)
    if not path.startswith("/api/"):
        return
    expected = {"503"} if method == "get" else {"422", "503"}
    if operation.get("security"):
        expected |= {"401", "403"}
    if "requestBody" in operation:
        expected |= {"400", "413", "415"}
    if "{" in path:
        expected |= {"404"}
    names = {parameter["name"] for parameter in operation.get("parameters", [])}
    if "If-Match" in names:
        expected |= {"412"}
    if "Idempotency-Key" in names:
        expected |= {"409"}
    assert expected <= declared


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_refusal_is_a_problem_document_with_an_example(path, method, operation):
    if path == "/readyz":
        return  # its 503 is the same readiness report, with the reasons
    for status, answer in operation["responses"].items():
        if status.startswith(("4", "5")):
            content = answer["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["example"]["status"] == int(status), f"{method} {path}"


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_whatever_has_to_be_sent_has_an_example(path, method, operation):
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        found = "example" in content or "examples" in content or _has_example(content["schema"])
        assert found, f"{method} {path} {media_type}"
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            assert _has_example(parameter["schema"]) or "example" in parameter or "examples" in parameter


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_write_is_idempotent_by_key(path, method, operation):
    # Signing in makes a new session each time, and that is what is asked for.
    signs_in = {
        *("login", "refresh", "issueServiceToken"),
        *("startProviderSignIn", "finishProviderSignIn", "startPasskeySignIn", "finishPasskeySignIn"),
    }
    # A webhook counts once by the id that its sender gives it.
    if method == "get" or operation["operationId"] in {*signs_in, "receivePaymentEvent"}:
        return
    assert "Idempotency-Key" in {parameter["name"] for parameter in operation["parameters"]}, path


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_read_takes_a_consistency_token(path, method, operation):
    if method != "get" or not path.startswith("/api/"):
        return
    assert "Consistency-Token" in {parameter["name"] for parameter in operation["parameters"]}


def test_what_is_sent_is_closed_against_unknown_fields():
    for operation in BY_ID.values():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for schema in _objects_in(content["schema"]):
                if schema.get("title"):  # a model of ours, and no dictionary of texts
                    assert schema.get("additionalProperties") is False, schema["title"]


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_a_parameter_is_left_out_and_never_null(path, method, operation):
    for parameter in operation.get("parameters", []):
        assert {"type": "null"} not in parameter["schema"].get("anyOf", []), f"{method} {path}"


def test_numbers_that_are_sent_have_bounds_that_are_told():
    seen = 0
    for operation in BY_ID.values():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for schema in _objects_in(content["schema"]):
                for name, field in schema["properties"].items():
                    for kind in (field, *field.get("anyOf", [])):
                        if kind.get("type") in {"integer", "number"}:
                            seen += 1
                            assert kind.keys() & {"minimum", "exclusiveMinimum"}, name
                            assert kind.keys() & {"maximum", "exclusiveMaximum"}, name
    assert seen >= 10


def test_examples_fit_their_schemas():
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            for example in described.get("examples", []):
                whole = {**described, "components": DOCUMENT["components"]}
                assert jsonschema_rs.is_valid(whole, example), f"{name}.{field}: {example!r}"


def test_problem_types_have_one_meaning_each_and_say_it():
    for each in problem_types(REFUSING_PACKAGES):
        assert re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", each.slug)
        assert each.title
        assert each.when
        assert 400 <= each.status <= 599


def _resolved(schema):
    if "$ref" in schema:
        return DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def _inside(schema):
    yield from schema.get("properties", {}).values()
    for name in ("anyOf", "oneOf", "allOf"):
        yield from schema.get(name, [])
    if isinstance(schema.get("items"), dict):
        yield schema["items"]


def _has_example(schema):
    schema = _resolved(schema)
    return "example" in schema or "examples" in schema or any(_has_example(each) for each in _inside(schema))


def _objects_in(schema):
    schema = _resolved(schema)
    if schema.get("type") == "object" and "properties" in schema:
        yield schema
    for each in _inside(schema):
        yield from _objects_in(each)


def _schemas_in(part):
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "schema":
                yield value
            else:
                yield from _schemas_in(value)
    elif isinstance(part, list):
        for value in part:
            yield from _schemas_in(value)
