"""Item banks and items, one by one, over HTTP."""

import pytest

from tests.support.api import choice_item, refusal

SHORT_TEXT = {
    "kind": "short_text",
    "content_area": "biology",
    "stem": {"en": "Plants make sugar by …", "ja": "植物は…", "zh": "植物…"},
    "key": {"accepted": ["photosynthesis", "光合作用"]},
}
NUMERIC = {
    "kind": "numeric",
    "content_area": "mathematics",
    "stem": {"ko": "3 + 4.5는?"},
    "points": 3,
    "key": {"value": "7.5", "tolerance": "0.01"},
    "irt": {"a": 1.2, "b": -0.5},
    "explanation": {"ko": "더하면 됩니다."},
}
MULTIPLE_RESPONSE = {**choice_item(), "kind": "multiple_response", "key": {"options": ["1", "3"]}}


def test_a_bank_is_created_for_the_only_organisation_one_works_for(school):
    answer = school.teacher.http.post("/item-banks", json={"name": "Mathematics", "description": "Grade 12"})
    assert answer.status_code == 201
    assert answer.json()["name"] == "Mathematics"
    assert answer.json()["version"] == 1
    assert answer.headers["ETag"] == '"1"'
    [recorded] = school.api.recorded(answer.json()["bank_id"])
    assert recorded.metadata.org_id == school.org_id
    assert recorded.metadata.zone_id == school.zone_id
    assert recorded.metadata.actor.id == school.teacher.user_id
    assert recorded.metadata.correlation_id == answer.headers["X-Request-Id"]


def test_a_bank_for_somebody_elses_organisation_is_refused_as_if_it_did_not_exist(api, school):
    other = api.school("Another school")
    answer = school.teacher.http.post("/item-banks", json={"name": "Bank", "org_id": other.org_id})
    assert refusal(answer) == (404, "organization-not-found")


@pytest.mark.parametrize("content", [choice_item(), MULTIPLE_RESPONSE, NUMERIC, SHORT_TEXT])
def test_an_item_of_every_kind_is_written_and_read_back_with_its_key(school, content):
    bank_id = school.bank()
    answer = school.teacher.http.post(
        f"/item-banks/{bank_id}/items", json={"code": "one", "content": content}
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["bank_id"], made["code"], made["item_version"]) == (bank_id, "one", 1)
    read = school.teacher.http.get(
        f"/items/{made['item_id']}", headers={"Consistency-Token": answer.headers["Consistency-Token"]}
    ).json()
    assert read["stem"] == content["stem"]
    assert read["key"].items() >= content["key"].items()
    assert read["explanation"] == content.get("explanation")


def test_text_is_kept_in_its_composed_form(school):
    decomposed = "\u1112\u1161\u11ab"  # 한, as three letters
    item_id = school.item(school.bank(), choice_item(stem={"ko": decomposed}))
    [created] = school.api.events(item_id)
    assert created.content.stem == {"ko": "한"}


@pytest.mark.parametrize(
    ("content", "pointer", "code"),
    [
        (choice_item(key={"options": ["9"]}), "#/content/key/options/0", "unknown-option"),
        (choice_item(key={"options": ["1", "2"]}), "#/content/key/options", "one-key"),
        ({**NUMERIC, "irt": {"a": 1, "b": 0, "c": 0.6, "d": 0.5}}, "#/content/irt/c", "asymptotes"),
        ({**NUMERIC, "key": {"value": "1", "tolerance": "-1"}}, "#/content/key/tolerance", "not-a-tolerance"),
        (
            choice_item(stem={"ko": "무엇?", "ja": "何?"}),
            "#/content/options/0/text",
            "language-missing",
        ),
    ],
)
def test_an_unusable_item_is_refused_with_a_pointer_into_the_body(school, content, pointer, code):
    answer = school.teacher.http.post(
        f"/item-banks/{school.bank()}/items", json={"code": "one", "content": content}
    )
    assert refusal(answer) == (422, "unusable-item")
    found = {(error["pointer"], error["code"]) for error in answer.json()["errors"]}
    assert (pointer, code) in found
    assert {error["in"] for error in answer.json()["errors"]} == {"body"}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"points": "1"}, "#/content/points"),
        ({"points": True}, "#/content/points"),
        ({"points": 1.5}, "#/content/points"),
        ({"stem": {}}, "#/content/stem"),
        ({"stem": {"xx": "?"}}, "#/content/stem/xx"),
        ({"stem": {"ko": "a\x00b"}}, "#/content/stem/ko"),
        ({"stem": {"ko": "   "}}, "#/content/stem/ko"),
        ({"answer": "2"}, "#/content/answer"),
        ({"kind": "essay"}, "#/content"),
        ({"irt": {"a": True, "b": 0}}, "#/content/irt/a"),
    ],
)
def test_input_that_breaks_the_declared_rules_is_refused_with_a_pointer(school, change, pointer):
    content = {**choice_item(), **change}
    answer = school.teacher.http.post(
        f"/item-banks/{school.bank()}/items", json={"code": "one", "content": content}
    )
    assert refusal(answer) == (422, "invalid-request")
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"code": "one", "content": {"points": 1e999}}', 400),
        (b'{"code": "one", "content": NaN}', 400),
        (b'{"code": "\\ud800", "content": {}}', 400),
        (b"\xff\xfe", 400),
        (b"{", 400),
        (b"[" * 200_000, 400),
        (b"", 422),
        (b"null", 422),
        (b"7", 422),
    ],
)
def test_bodies_that_are_not_right_are_refused_and_never_a_fault_of_ours(school, body, status):
    answer = school.teacher.http.post(
        f"/item-banks/{school.bank()}/items", content=body, headers={"Content-Type": "application/json"}
    )
    assert refusal(answer)[0] == status


def test_a_body_of_another_media_type_is_refused(school):
    answer = school.teacher.http.post(
        "/item-banks", content=b"name=Bank", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert refusal(answer) == (415, "unsupported-media-type")


def test_a_body_over_the_limit_is_refused_declared_or_not(school):
    body = b'{"name": "' + b"x" * 1_100_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    declared = school.teacher.http.post("/item-banks", content=body, headers=headers)
    streamed = school.teacher.http.post("/item-banks", content=iter([body]), headers=headers)
    assert refusal(declared) == (413, "content-too-large")
    assert refusal(streamed) == (413, "content-too-large")


def test_a_code_names_one_item_in_its_bank(school):
    bank_id = school.bank()
    first = school.item(bank_id, choice_item(), code="one")
    again = school.teacher.http.post(
        f"/item-banks/{bank_id}/items", json={"code": "one", "content": choice_item()}
    )
    assert refusal(again) == (409, "item-exists")
    assert again.json()["item_id"] == first
    school.item(school.bank(), choice_item(), code="one")


def test_a_revision_makes_a_new_version_and_the_same_again_makes_none(school):
    item_id = school.item(school.bank(), choice_item())
    revised = choice_item(key={"options": ["3"]})
    answer = school.teacher.http.put(f"/items/{item_id}", json={"content": revised})
    assert (answer.status_code, answer.json()["item_version"]) == (200, 2)
    again = school.teacher.http.put(f"/items/{item_id}", json={"content": revised})
    assert (again.status_code, again.json()["item_version"]) == (200, 2)
    assert again.headers["ETag"] == answer.headers["ETag"]
    stale = school.teacher.http.put(
        f"/items/{item_id}", json={"content": choice_item()}, headers={"If-Match": '"1"'}
    )
    assert refusal(stale) == (412, "stale-version")


def test_two_who_revise_what_both_have_seen_do_not_overwrite_each_other(school):
    item_id = school.item(school.bank(), choice_item())
    requests = [
        {
            "method": "PUT",
            "url": f"/items/{item_id}",
            "json": {"content": choice_item(points=points)},
            "headers": {"If-Match": '"1"'},
        }
        for points in range(2, 10)
    ]
    answers = school.api.at_once(requests, school.teacher.token)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert len(school.api.events(item_id)) == 2


def test_nobody_revises_an_item_of_another_organisation(api, school):
    item_id = school.item(school.bank(), choice_item())
    other = api.school("Another school")
    answer = other.teacher.http.put(f"/items/{item_id}", json={"content": choice_item(points=5)})
    assert refusal(answer) == (404, "item-not-found")


@pytest.mark.parametrize("named", ["item-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f", "nonsense", "%00", "a%2Fb"])
def test_what_does_not_exist_is_not_found(school, named):
    answer = school.teacher.http.put(f"/items/{named}", json={"content": choice_item()})
    assert refusal(answer)[0] == 404


def test_students_write_no_items(school):
    answer = school.student().http.post("/item-banks", json={"name": "Bank"})
    assert refusal(answer) == (403, "role-required")
