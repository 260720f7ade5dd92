"""Items from files: CSV and JSON, with what is wrong in each row, and a dry run."""

import json

import pytest

from tests.support.api import choice_item, refusal

HEADER = "code,kind,content_area,points,stem_ko,stem_en,option_1_ko,option_1_en,option_2_ko,option_2_en,key"
FIRST = "m-01,multiple_choice,수학,2,3 더하기 4는?,What is 3 + 4?,칠,seven,팔,eight,1"
SECOND = 'm-02,multiple_choice,수학,1,"쉼표, 따옴표 ""와"" 줄\n바꿈",Quoted,하나,one,둘,two,2'


def csv_of(*lines):
    return "\r\n".join(lines).encode()


@pytest.fixture
def bank_id(school):
    return school.bank()


@pytest.fixture
def send(school, bank_id):
    def sent(body, media_type="text/csv; charset=utf-8", **params):
        return school.teacher.http.post(
            f"/item-banks/{bank_id}/import",
            content=body,
            params=params,
            headers={"Content-Type": media_type},
        )

    return sent


def test_csv_with_a_byte_order_mark_and_korean_text_becomes_items(school, send):
    answer = send(b"\xef\xbb\xbf" + csv_of(HEADER, FIRST, SECOND))
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["created"], report["invalid"], report["dry_run"]) == (2, 0, False)
    first, second = report["rows"]
    assert (first["row"], first["code"], first["item_version"]) == (1, "m-01", 1)
    [created] = school.api.events(first["item_id"])
    assert created.content.content_area == "수학"
    assert created.content.points == 2
    assert created.content.stem == {"ko": "3 더하기 4는?", "en": "What is 3 + 4?"}
    assert [option.text["ko"] for option in created.content.options] == ["칠", "팔"]
    assert created.content.key.options == ("1",)
    [created] = school.api.events(second["item_id"])
    assert created.content.stem["ko"] == '쉼표, 따옴표 "와" 줄\n바꿈'


def test_the_same_file_twice_changes_nothing_and_a_changed_row_makes_a_version(send):
    send(csv_of(HEADER, FIRST, SECOND))
    again = send(csv_of(HEADER, FIRST, SECOND)).json()
    assert (again["unchanged"], again["created"], again["revised"]) == (2, 0, 0)
    changed = send(csv_of(HEADER, FIRST.replace(",2,", ",3,"), SECOND)).json()
    assert (changed["revised"], changed["unchanged"]) == (1, 1)
    assert changed["rows"][0]["item_version"] == 2
    assert changed["rows"][0]["item_id"] == again["rows"][0]["item_id"]


def test_a_dry_run_says_what_would_happen_and_writes_nothing(school, bank_id, send):
    wrong = FIRST.replace("m-01", "m-03").removesuffix(",1") + ",7"
    answer = send(csv_of(HEADER, FIRST, wrong), dry_run="true")
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["dry_run"], report["created"], report["invalid"]) == (True, 1, 1)
    assert report["rows"][0]["item_id"] is None
    [error] = report["rows"][1]["errors"]
    assert (error["pointer"], error["code"]) == ("/key/options/0", "unknown-option")
    imported = send(csv_of(HEADER, SECOND))
    token = {"Consistency-Token": imported.headers["Consistency-Token"]}
    detail = school.teacher.http.get(f"/item-banks/{bank_id}", headers=token).json()
    assert detail["items"] == 1


def test_one_wrong_row_keeps_all_rows_out_and_every_wrong_row_is_told(send):
    no_key = FIRST.replace("m-01", "m-04").removesuffix(",1") + ","
    bad_points = FIRST.replace("m-01", "m-05").replace(",2,", ",many,", 1)
    bad_code = FIRST.replace("m-01", "m 06")
    bad_kind = FIRST.replace("m-01", "m-07").replace("multiple_choice", "essay")
    twice = FIRST
    answer = send(csv_of(HEADER, FIRST, no_key, bad_points, bad_code, bad_kind, twice))
    assert refusal(answer) == (422, "rows-refused")
    rows = {row["row"]: row for row in answer.json()["rows"]}
    assert sorted(rows) == [2, 3, 4, 5, 6]
    assert rows[2]["errors"][0]["pointer"].startswith("/key")
    assert rows[3]["errors"][0]["pointer"] == "/points"
    assert rows[4]["errors"][0]["pointer"] == "/code"
    assert rows[6]["errors"][0]["code"] == "duplicate-code"
    assert send(csv_of(HEADER, FIRST)).json()["created"] == 1


def test_a_ragged_row_is_an_error_of_that_row(send):
    answer = send(csv_of(HEADER, FIRST, "m-02,multiple_choice"))
    assert refusal(answer) == (422, "rows-refused")
    [row] = answer.json()["rows"]
    assert (row["row"], row["errors"][0]["code"]) == (2, "ragged-row")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (csv_of(HEADER + ",colour", FIRST + ",red"), "colour"),
        (csv_of(HEADER + ",key", FIRST + ",1"), "twice"),
        (HEADER.encode() + b"\r\nm-01,multiple_choice,\xc7\xd1", "UTF-8"),
        (csv_of(HEADER), "no rows"),
        (b"", "empty"),
        (csv_of(HEADER, 'm-01,"not closed'), "CSV"),
        (csv_of(HEADER, *(["x" + FIRST] * 2001)), "more than 2000 rows"),
        (csv_of(HEADER, '"' + "x" * 200_000 + '"'), "CSV"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(send, body, reason):
    answer = send(body)
    assert refusal(answer) == (422, "unreadable-file")
    assert reason in answer.json()["detail"]


def test_numeric_short_text_and_parameters_come_from_their_columns(school, send):
    header = "code,kind,content_area,stem_en,explanation_en,key,tolerance,case_sensitive,a,b,c"
    answer = send(
        csv_of(
            header,
            "n-01,numeric,maths,How much?,Add,12.5,0.5,,1.5,-0.25,0.2",
            "t-01,short_text,biology,What?,,photosynthesis | Photosynthese,,yes,,,",
            "t-02,short_text,biology,What?,,x,,perhaps,,,",
        ),
        dry_run="true",
    )
    rows = answer.json()["rows"]
    assert [row["status"] for row in rows] == ["created", "created", "invalid"]
    assert rows[2]["errors"][0]["pointer"] == "/key/case_sensitive"
    numbers = send(csv_of(header, "n-01,numeric,maths,How much?,Add,12.5,0.5,,1.5,-0.25,0.2")).json()
    [created] = school.api.events(numbers["rows"][0]["item_id"])
    assert (created.content.key.value, created.content.key.tolerance) == ("12.5", "0.5")
    assert (created.content.irt.a, created.content.irt.b, created.content.irt.c) == (1.5, -0.25, 0.2)


def test_json_is_imported_too_and_other_members_of_the_document_are_passed_over(send):
    document = {"title": "Mock exam", "items": [{"code": "j-01", **choice_item()}]}
    assert send(json.dumps(document), "application/json").json()["created"] == 1
    wrong = {"items": [{"code": "j-02", **choice_item(points=0)}, 7, {"code": "j-03"}]}
    answer = send(json.dumps(wrong), "application/json")
    assert refusal(answer) == (422, "rows-refused")
    pointers = [row["errors"][0]["pointer"] for row in answer.json()["rows"]]
    assert pointers[0] == "/points"
    assert answer.json()["rows"][1]["errors"][0]["code"] == "not-an-object"


@pytest.mark.parametrize("document", ["[]", "7", "null", '{"items": 7}', "{}", '{"items": []}'])
def test_a_json_document_of_another_shape_is_refused(send, document):
    assert refusal(send(document, "application/json")) == (422, "unreadable-file")


def test_broken_json_and_other_media_types_are_refused(send):
    assert refusal(send(b"{", "application/json")) == (400, "malformed-json")
    assert refusal(send(b"<items/>", "application/xml")) == (415, "unsupported-media-type")


def test_an_import_may_be_larger_than_other_bodies_and_has_a_limit_too(send):
    long_stem = "x" * 9_000
    rows = [f"b-{n:04},numeric,maths,{long_stem},1" for n in range(200)]
    assert send(csv_of("code,kind,content_area,stem_en,key", *rows)).json()["created"] == 200
    too_large = send(b"x" * (16 * 1024 * 1024 + 1))
    assert refusal(too_large) == (413, "content-too-large")


def test_two_imports_of_the_same_file_at_once_make_each_item_once(school, bank_id):
    request = {
        "method": "POST",
        "url": f"/item-banks/{bank_id}/import",
        "content": csv_of(HEADER, FIRST, SECOND),
        "headers": {"Content-Type": "text/csv"},
    }
    answers = school.api.at_once([request] * 8, school.teacher.token)
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["created"] for answer in answers) == 2
    item_ids = {tuple(row["item_id"] for row in answer.json()["rows"]) for answer in answers}
    assert len(item_ids) == 1
    for item_id in item_ids.pop():
        assert len(school.api.events(item_id)) == 1


def test_only_the_staff_of_the_banks_organisation_imports(api, bank_id):
    other = api.school("Another school")
    answer = other.teacher.http.post(
        f"/item-banks/{bank_id}/import",
        content=csv_of(HEADER, FIRST),
        headers={"Content-Type": "text/csv"},
    )
    assert refusal(answer) == (404, "item-bank-not-found")
