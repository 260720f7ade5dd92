import re
from typing import Annotated

import pytest
from fastapi import APIRouter, Query
from pydantic import TypeAdapter, ValidationError

from infra.http.routing import ApiRoute
from infra.http.text import INT8_MAX, RequestModel, SafeText, StreamId, fits_postgres
from tests.support.http import call, make_app

short = TypeAdapter(Annotated[str, SafeText(1, 200)])
long = TypeAdapter(Annotated[str, SafeText(1, 10_000, multi_line=True)])
EXAM_ID = "exam-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"


@pytest.mark.parametrize("text", ["a", "한글", "日本語 中文", "👩🏽‍🏫", "x" * 200, " a ", "\u200b"])
def test_ordinary_text_is_taken_as_it_is(text):
    assert short.validate_python(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\u3000",
        "a\x00",
        "\x00",
        "a\nb",
        "a\tb",
        "\x1b[31m",
        "a\x7f",
        "a\x85b",
        "a\ud800b",
        "x" * 201,
    ],
)
def test_what_cannot_be_a_name_is_refused(text):
    with pytest.raises(ValidationError):
        short.validate_python(text)


def test_long_text_may_have_lines_and_tabs_but_no_other_control_characters():
    assert long.validate_python("a\n\tb") == "a\n\tb"
    for forbidden in ("a\rb", "a\x00b", "a\x0bb", "a\ud800b"):
        with pytest.raises(ValidationError):
            long.validate_python(forbidden)


def test_text_that_looks_equal_is_made_equal():
    decomposed = "\u1112\u1161\u11ab"
    assert short.validate_python(decomposed) == "한"
    assert short.validate_python("e\u0301") == "é"


def test_the_schema_says_the_same_as_the_check():
    schema = short.json_schema()
    assert (schema["type"], schema["minLength"], schema["maxLength"]) == ("string", 1, 200)
    pattern = TypeAdapter(Annotated[str, SafeText(0, 5)]).json_schema()["pattern"]
    for text in ("", "a", "한글", "a\x00", "a\n", "\x7f", "  "):
        accepted = True
        try:
            SafeText(0, 5).clean(text)
        except ValueError:
            accepted = False
        assert bool(re.fullmatch(pattern.strip("^$"), text)) == accepted, repr(text)


@pytest.mark.parametrize(
    "text",
    [
        "exam-1",
        "exam-01901646-A2B4-7c3d-8e5f-0a1b2c3d4e5f",
        f"{EXAM_ID}\n",
        f"{EXAM_ID}\x00",
        EXAM_ID[5:],
        "exam-01901646-a2b4-4c3d-8e5f-0a1b2c3d4e5f",
        EXAM_ID.replace("exam", "attempt"),
    ],
)
def test_an_id_of_another_shape_is_refused(text):
    with pytest.raises(ValidationError):
        TypeAdapter(Annotated[str, StreamId("exam")]).validate_python(text)


def test_an_id_of_the_right_shape_is_taken():
    assert TypeAdapter(Annotated[str, StreamId("exam")]).validate_python(EXAM_ID) == EXAM_ID


router = APIRouter(route_class=ApiRoute)


class Weight(RequestModel):
    value: float


@router.get("/exams/{exam_id}")
async def get_exam(
    exam_id: Annotated[str, StreamId("exam")], search: Annotated[str, SafeText(0, 20), Query()] = ""
) -> list[str]:
    return [exam_id, search]


@router.post("/weights")
async def post_weight(weight: Weight) -> float:
    return weight.value


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/exams/%00",
        f"/api/v1/exams/{EXAM_ID}%00",
        f"/api/v1/exams/{EXAM_ID}?search=a%00",
        "/api/v1/exams/%FF",
    ],
)
def test_the_types_guard_path_and_query_too(path):
    assert call(make_app(router), "GET", path).status_code == 422


def test_path_and_query_arrive_clean():
    response = call(make_app(router), "GET", f"/api/v1/exams/{EXAM_ID}?search=%ED%95%9C")
    assert response.json() == [EXAM_ID, "한"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"1e400", 400), (b"NaN", 400), (b'"NaN"', 422), (b'"Infinity"', 422), (b"9" * 400, 422)],
)
def test_a_number_that_is_none_is_refused(body, status):
    headers = {"Content-Type": "application/json"}
    response = call(
        make_app(router), "POST", "/api/v1/weights", content=b'{"value": ' + body + b"}", headers=headers
    )
    assert response.status_code == status


@pytest.mark.parametrize("value", ["a\nb", 0, INT8_MAX, -INT8_MAX - 1, True, None, 1.5, ["a", {"b": 1}]])
def test_what_postgresql_takes_fits(value):
    assert fits_postgres(value)


@pytest.mark.parametrize(
    "value", ["a\x00", INT8_MAX + 1, -INT8_MAX - 2, ["\ud800"], {"a": ["\x00"]}, {"\x00": 1}]
)
def test_what_postgresql_refuses_does_not_fit(value):
    assert not fits_postgres(value)
