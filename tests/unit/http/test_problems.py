import json
from typing import Annotated, Literal

import pytest
from fastapi import APIRouter, Query
from pydantic import Field

from domain.errors import Denied, DomainError, IllegalState, Malformed, NotFound, StaleVersion, Unavailable
from infra.http.errors import InvalidToken, Unauthenticated
from infra.http.problem_types import CONTENT_TOO_LARGE, problem_types, render_problem_docs
from infra.http.problems import ProblemHttpException, problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel, SafeText
from infra.http.validation import MAX_ERRORS
from tests.support.http import call, make_app

router = APIRouter(route_class=ApiRoute)


class Choice(RequestModel):
    kind: Literal["choice"]
    options: list[str]


class Number(RequestModel):
    kind: Literal["number"]
    value: float


class Item(RequestModel):
    stem: Annotated[str, SafeText(1, 200)]
    key: Annotated[Choice | Number, Field(discriminator="kind")] | None = None


class Bank(RequestModel):
    items: list[Item]


class ExamIsClosed(IllegalState):
    code = "exam-is-closed"
    title = "The exam is closed"


RAISED = {}


@router.post("/banks")
async def post_bank(bank: Bank) -> dict[str, int]:
    return {"items": len(bank.items)}


@router.get("/raises")
async def raises(name: Annotated[str, Query(max_length=50)] = "") -> None:
    raise RAISED[name]


@router.get("/numbers/{number}")
async def number_route(number: int, limit: Annotated[int, Query(le=10)] = 1) -> int:
    return number * limit


@router.put("/numbers/{number}")
async def put_number(number: int) -> int:
    return number


@pytest.fixture
def app():
    return make_app(router)


def problem_of(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    return problem


def raised(app, error):
    RAISED["it"] = error
    return call(app, "GET", "/api/v1/raises?name=it")


@pytest.mark.parametrize(
    ("group", "status"),
    [
        (NotFound, 404),
        (Denied, 403),
        (IllegalState, 409),
        (StaleVersion, 412),
        (Malformed, 422),
        (Unavailable, 503),
    ],
)
def test_each_group_of_domain_errors_has_its_status(app, group, status):
    problem = problem_of(raised(app, group()), status)
    assert problem["type"] == f"urn:megacity:problem:{group.code}"
    assert problem["instance"] == "/api/v1/raises"


def test_a_new_error_needs_no_line_of_its_own_and_shows_its_facts(app):
    problem = problem_of(raised(app, ExamIsClosed(exam_id="exam-1", closed_at="2026-03-01")), 409)
    assert problem["type"] == "urn:megacity:problem:exam-is-closed"
    assert problem["title"] == "The exam is closed"
    assert (problem["exam_id"], problem["closed_at"]) == ("exam-1", "2026-03-01")


def test_a_fact_cannot_hide_a_standard_member(app):
    problem = problem_of(raised(app, ExamIsClosed(status="closed", type="x")), 409)
    assert (problem["data_status"], problem["data_type"]) == ("closed", "x")


@pytest.mark.parametrize(
    "fact",
    ["\x00\ud800", float("nan"), 10**400, {1: {2, 3}}, b"\xff", object()],
    ids=lambda fact: type(fact).__name__,
)
def test_facts_of_any_kind_can_be_written(app, fact):
    problem = problem_of(raised(app, ExamIsClosed(fact=fact)), 409)
    assert "fact" in problem


def test_row_errors_of_a_domain_error_are_the_problems_errors(app):
    rows = [{"in": "body", "pointer": "#/items/3/key", "detail": "no such option", "code": "unknown-option"}]
    assert problem_of(raised(app, Malformed(errors=rows)), 422)["errors"] == rows


def test_unavailable_says_when_to_try_again(app):
    response = raised(app, Unavailable(retry_after_s=2.2))
    assert problem_of(response, 503)["retry_after_s"] == 2.2
    assert response.headers["retry-after"] == "3"
    assert raised(app, Unavailable()).headers["retry-after"] == "1"


def test_a_missing_and_a_bad_token_are_challenged(app):
    assert raised(app, Unauthenticated()).headers["www-authenticate"] == 'Bearer realm="megacity"'
    challenge = raised(app, InvalidToken(reason="it has expired")).headers["www-authenticate"]
    assert challenge == 'Bearer realm="megacity", error="invalid_token"'


@pytest.mark.parametrize("error", [RuntimeError("secret detail"), DomainError(secret="secret detail")])
def test_a_fault_of_ours_is_a_500_that_tells_nothing(app, error):
    response = raised(app, error)
    problem = problem_of(response, 500)
    assert problem["type"] == "urn:megacity:problem:internal-error"
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, [("#/items", "missing")]),
        ({"items": [{"stem": "a"}, {}]}, [("#/items/1/stem", "missing")]),
        ({"items": [{"stem": ""}]}, [("#/items/0/stem", "string_too_short")]),
        ({"items": [{"stem": "a", "x/y~z": 1}]}, [("#/items/0/x~1y~0z", "extra_forbidden")]),
        ({"items": 5}, [("#/items", "list_type")]),
        # The tag of the union is no part of the document.
        (
            {"items": [{"stem": "a", "key": {"kind": "choice", "options": [7]}}]},
            [("#/items/0/key/options/0", "string_type")],
        ),
        ({"items": [{"stem": "a", "key": {"kind": "number"}}]}, [("#/items/0/key/value", "missing")]),
        ([], [("#", "model_attributes_type")]),
    ],
)
def test_a_pointer_leads_to_what_is_wrong_in_the_body(app, body, errors):
    problem = problem_of(call(app, "POST", "/api/v1/banks", json=body), 422)
    assert problem["type"] == "urn:megacity:problem:invalid-request"
    assert [(each["pointer"], each["code"]) for each in problem["errors"]] == errors
    assert {each["in"] for each in problem["errors"]} == {"body"}
    assert all(each["detail"] for each in problem["errors"])


def test_path_and_query_are_pointed_to_as_well(app):
    problem = problem_of(call(app, "GET", "/api/v1/numbers/x?limit=11"), 422)
    assert [(each["in"], each["pointer"]) for each in problem["errors"]] == [
        ("path", "#/number"),
        ("query", "#/limit"),
    ]


def test_what_was_sent_is_not_echoed(app):
    response = call(app, "POST", "/api/v1/banks", json={"items": [{"stem": ["my password"]}]})
    assert problem_of(response, 422)
    assert "my password" not in response.text


def test_a_flood_of_errors_is_cut(app):
    body = {"items": [{} for _ in range(500)]}
    problem = problem_of(call(app, "POST", "/api/v1/banks", json=body), 422)
    assert len(problem["errors"]) == MAX_ERRORS
    assert problem["errors_left_out"] == 500 - MAX_ERRORS


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"NaN",
        b'{"items": 1e400}',
        b'{"items": Infinity}',
        b'{"items": "\\ud800"}',
        b"\xff\xfe",
        b"[" * 200_000,
        b"9" * 5_000,
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_not_json_is_a_400(app, body):
    response = call(app, "POST", "/api/v1/banks", content=body, headers={"Content-Type": "application/json"})
    assert problem_of(response, 400)["type"] == "urn:megacity:problem:malformed-json"


@pytest.mark.parametrize(
    "body", [b'{"items": 123456789012345678901234567890}', b'{"items": 1e300}', b"null", b'""']
)
def test_json_of_the_wrong_kind_is_a_422(app, body):
    response = call(app, "POST", "/api/v1/banks", content=body, headers={"Content-Type": "application/json"})
    problem_of(response, 422)


def test_a_missing_body_is_a_422(app):
    problem = problem_of(call(app, "POST", "/api/v1/banks"), 422)
    assert [(each["pointer"], each["code"]) for each in problem["errors"]] == [("#", "missing")]


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "", None]
)
def test_a_body_that_is_not_called_json_is_a_415(app, media_type):
    headers = {} if media_type is None else {"Content-Type": media_type}
    problem = problem_of(call(app, "POST", "/api/v1/banks", content=b'{"items": []}', headers=headers), 415)
    assert problem["type"] == "urn:megacity:problem:unsupported-media-type"


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/json; charset=utf-8", "application/x+json"]
)
def test_json_by_any_of_its_names_is_read(app, media_type):
    headers = {"Content-Type": media_type}
    assert call(app, "POST", "/api/v1/banks", content=b'{"items": []}', headers=headers).json() == {
        "items": 0
    }


def test_an_unknown_path_is_a_problem_too(app):
    problem = problem_of(call(app, "GET", "/api/v1/nowhere/%00/%EA%B0%80"), 404)
    assert problem["type"] == "urn:megacity:problem:unknown-route"
    assert problem["instance"] == "/api/v1/nowhere/%00/%EA%B0%80"


def test_allow_names_the_methods_of_all_routes_with_this_path(app):
    response = call(app, "DELETE", "/api/v1/numbers/1")
    assert problem_of(response, 405)["type"] == "urn:megacity:problem:method-not-allowed"
    assert response.headers["allow"] == "GET, PUT"


def test_an_http_refusal_may_carry_facts(app):
    problem = problem_of(raised(app, ProblemHttpException(CONTENT_TOO_LARGE, "too much", limit_bytes=5)), 413)
    assert problem["limit_bytes"] == 5


def test_the_register_knows_every_error_and_renders_as_a_table():
    types = {each.slug: each for each in problem_types(["domain", "infra.http"])}
    assert types["stale-version"].status == 412
    assert types["weak-password"].status == 422
    assert types["unknown-route"].status == 404
    assert "exam-is-closed" not in types  # a test's, not the application's
    page = render_problem_docs(["domain", "infra.http"])
    for each in types.values():
        assert f"| `{each.uri}` | {each.status} |" in page


def test_no_error_of_ours_is_without_a_group():
    assert [each.slug for each in problem_types(["domain", "infra.http"]) if each.status == 500] == [
        "internal-error"
    ]


def test_declared_problems_refer_to_one_schema_that_is_in_the_document():
    documented = APIRouter(route_class=ApiRoute)

    @documented.post("/things", responses=problem_responses(422, 404, 401))
    async def post_thing(bank: Bank) -> None: ...

    document = make_app(documented).openapi()
    responses = document["paths"]["/api/v1/things"]["post"]["responses"]
    assert set(responses) == {"200", "401", "404", "422", "429"}
    for status in ("401", "404", "422"):
        assert list(responses[status]["content"]) == ["application/problem+json"]
        content = responses[status]["content"]["application/problem+json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert content["example"]["status"] == int(status)
    assert {"Problem", "FieldProblem"} <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in json.dumps(document)
    with pytest.raises(ValueError, match="418"):
        problem_responses(418)
