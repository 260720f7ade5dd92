from datetime import UTC, datetime

import msgspec
import pytest
from fastapi import APIRouter

from infra.http.base64url import decode_base64url, encode_base64url
from infra.http.consistency import ConsistencyToken, SentConsistencyToken
from infra.http.errors import BadConsistencyToken, BadCursor, BadEntityTag
from infra.http.etags import ExpectedVersion, etag, version_in
from infra.http.paging import Page, Paging, decode_cursor, encode_cursor
from infra.http.routing import ApiRoute
from tests.support.http import call, make_app

STREAM = "attempt-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
POSITION = (datetime(2026, 3, 1, 9, 30, tzinfo=UTC), "exam-1")


def forged(*parts):
    return encode_base64url(msgspec.json.encode(parts))


router = APIRouter(route_class=ApiRoute)


@router.get("/numbers")
async def list_numbers(paging: Paging) -> Page[int]:
    after = paging.start_after("numbers", int) or 0
    items = list(range(after + 1, min(after + paging.limit, 120) + 1))
    has_more = bool(items) and items[-1] < 120
    return Page(items=items, next_cursor=encode_cursor("numbers", items[-1]) if has_more else None)


@router.get("/state")
async def state(consistency: SentConsistencyToken, expected: ExpectedVersion) -> list[int | None]:
    return [consistency.version if consistency else None, expected]


def test_following_the_cursors_visits_everything_once():
    app = make_app(router)
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = call(app, "GET", "/api/v1/numbers", params={"cursor": cursor} if cursor else {}).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        pages += 1
    assert seen == list(range(1, 121))
    assert pages == 3


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1e9"])
def test_a_limit_out_of_range_is_refused(limit):
    assert call(make_app(router), "GET", f"/api/v1/numbers?limit={limit}").status_code == 422


@pytest.mark.parametrize("cursor", ["x", "!!", "", "%00", "AAAA", "A" * 1001, forged(1, "exams", 5)])
def test_a_made_up_cursor_is_a_422(cursor):
    assert call(make_app(router), "GET", f"/api/v1/numbers?cursor={cursor}").status_code == 422


def test_a_position_comes_back_with_its_types():
    assert decode_cursor(encode_cursor("exams", POSITION), "exams", tuple[datetime, str]) == POSITION


@pytest.mark.parametrize(
    "cursor",
    [
        forged(1, "attempts", POSITION),
        forged(2, "exams", POSITION),
        forged(1, "exams", ("yesterday", "exam-1")),
        forged(1, "exams", (POSITION[0], "exam\x00")),
        forged(1, "exams", (POSITION[0], 2**70)),
        forged(1, "exams"),
        forged("exams"),
        encode_base64url(b"[" * 100_000),
        encode_base64url(b"\xff"),
        encode_cursor("exams", POSITION) + "=",
    ],
)
def test_a_cursor_of_another_list_version_or_shape_is_refused(cursor):
    with pytest.raises(BadCursor):
        decode_cursor(cursor, "exams", tuple[datetime, str])


def test_a_consistency_token_comes_back():
    token = ConsistencyToken(STREAM, 7)
    assert ConsistencyToken.decode(token.encode()) == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "é",
        "A" * 1_000,
        forged(1, STREAM, 0),
        forged(1, STREAM, -1),
        forged(1, STREAM, 2**63),
        forged(1, STREAM, "7"),
        forged(1, STREAM, True),
        forged(2, STREAM, 7),
        forged(1, f"{STREAM}\n", 7),
        forged(1, "attempt-1", 7),
        forged(1, STREAM),
    ],
)
def test_any_other_consistency_token_is_refused(text):
    with pytest.raises(BadConsistencyToken):
        ConsistencyToken.decode(text)


def test_the_headers_reach_the_route():
    headers = {"Consistency-Token": ConsistencyToken(STREAM, 7).encode(), "If-Match": '"3"'}
    assert call(make_app(router), "GET", "/api/v1/state", headers=headers).json() == [7, 3]
    assert call(make_app(router), "GET", "/api/v1/state").json() == [None, None]
    for bad in ({"Consistency-Token": "x"}, {"If-Match": "3"}):
        assert call(make_app(router), "GET", "/api/v1/state", headers=bad).status_code == 422


def test_an_entity_tag_is_the_version_of_the_stream():
    assert version_in(etag(12)) == 12
    assert version_in("*") is None


@pytest.mark.parametrize(
    "text", ["", "3", 'W/"3"', '"0"', '"-1"', '"3", "4"', '"x"', '"' + "9" * 30 + '"', '"٣"']
)
def test_any_other_entity_tag_is_refused(text):
    with pytest.raises(BadEntityTag):
        version_in(text)


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_base64url_has_one_text_for_one_value(data):
    text = encode_base64url(data)
    assert decode_base64url(text) == data
    assert not set(text) & set("+/=\n")


@pytest.mark.parametrize("text", ["AA==", "A", "AB", "AA\n", " AA", "A+==", "한글", "A/A"])
def test_base64url_is_read_strictly(text):
    with pytest.raises(ValueError, match="base64url"):
        decode_base64url(text)
