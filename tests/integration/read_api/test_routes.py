"""The read API over HTTP, through the eyes of students, staff and strangers."""

import json
import threading

import psycopg
import pytest

from domain.exams.events import ExamClosed, ResultsReleased
from infra.http.consistency import ConsistencyToken
from infra.http.guards import unguarded_routes
from projections.item_analysis.statistics import analyse
from tests.support.school import NOW, a_school, an_app, client_of, project

SOME_UUID = "019cabcd-0000-7000-8000-00000000dead"
SECRETS = ("Because it says so.", '"key"', '"irt"', '"explanation": {')


def test_every_route_names_its_guard(school_database, principals):
    assert unguarded_routes(an_app(school_database, principals)) == []


@pytest.mark.parametrize(
    "path",
    [
        "/users/me",
        "/exams",
        "/exams/x",
        "/exams/x/attempts",
        "/exams/x/results",
        "/item-banks",
        "/item-banks/x",
        "/item-banks/x/items",
        "/items/x",
        "/attempts/x",
        "/analytics/exam/x",
    ],
)
def test_nobody_reads_without_signing_in(client, path):
    client.problem(None, path, 401, "unauthenticated")


# ---- oneself


def test_a_person_sees_their_own_account(client, school):
    answer = client.get("mina", "/users/me")
    assert answer.json()["user_id"] == school.people["mina"]
    assert answer.json()["display_name"] == "미나"
    assert answer.json()["roles"] == [{"role": "student", "org_id": school.story.org_id}]
    assert answer.headers["ETag"] == '"2"'


def test_a_service_is_no_person(client):
    client.problem("service", "/users/me", 404, "user-not-found")


# ---- exams


def test_examinees_see_published_exams_of_their_organisation_and_no_drafts(client, school):
    found = {exam["exam_id"] for exam in client.get("idle", "/exams").json()["items"]}
    assert found == {id_ for name, id_ in school.exams.items() if name != "draft"}


def test_strangers_see_the_zone_s_exams_alone(client, school):
    found = [exam["exam_id"] for exam in client.get("stranger", "/exams").json()["items"]]
    assert found == [school.exams["in_zone"]]
    client.problem("stranger", f"/exams/{school.exams['by_hand']}", 404, "exam-not-found")


def test_staff_filter_exams_by_state(client, school):
    found = client.get("teacher", "/exams", params={"status": "draft"}).json()["items"]
    assert [exam["exam_id"] for exam in found] == [school.exams["draft"]]


def test_a_list_in_pages_is_the_whole_list_newest_first(client, school):
    found, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get("teacher", "/exams", params=params).json()
        found += [exam["exam_id"] for exam in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == sorted(school.exams.values(), reverse=True)


def test_a_cursor_of_another_list_is_refused(client):
    cursor = client.get("teacher", "/exams", params={"limit": 1}).json()["next_cursor"]
    client.problem("teacher", "/item-banks", 422, "bad-cursor", params={"cursor": cursor})


def test_the_form_of_an_exam_is_shown_to_its_staff_alone(client, school):
    path = f"/exams/{school.exams['by_hand']}"
    shown = client.get("teacher", path)
    assert [item["item_id"] for item in shown.json()["items"]] == school.items
    assert (shown.json()["max_score"], shown.json()["item_count"]) == (4, 3)
    assert shown.headers["ETag"] == '"2"'
    assert client.get("mina", path).json()["items"] is None


# ---- items


def test_item_banks_are_for_staff(client, school):
    banks = client.get("teacher", "/item-banks").json()["items"]
    assert banks[-1]["bank_id"] == school.bank
    assert len(banks) == 1 + len(school.adaptive)
    assert client.get("service", f"/item-banks/{school.bank}").json()["items"] == 3
    client.problem("mina", "/item-banks", 403, "role-required")
    assert client.get("other teacher", "/item-banks").json()["items"] == []
    client.problem("other teacher", f"/item-banks/{school.bank}", 404, "item-bank-not-found")
    client.problem("other teacher", f"/item-banks/{school.bank}/items", 404, "item-bank-not-found")


def test_the_items_of_a_bank_come_in_their_newest_version_page_by_page(client, school):
    path = f"/item-banks/{school.bank}/items"
    first = client.get("teacher", path, params={"limit": 2}).json()
    rest = client.get("teacher", path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    listed = first["items"] + rest["items"]
    assert [item["item_id"] for item in listed] == school.items
    assert [item["item_version"] for item in listed] == [2, 1, 1]
    assert rest["next_cursor"] is None


def test_staff_see_an_item_with_its_key_in_the_version_they_ask_for(client, school):
    newest = client.get("teacher", f"/items/{school.items[0]}")
    assert (newest.json()["item_version"], newest.json()["key"]) == (2, {"options": ["a"]})
    assert newest.headers["ETag"] == '"2"'
    older = client.get("teacher", f"/items/{school.items[0]}", params={"version": 1})
    assert older.json()["key"] == {"options": ["1"]}
    assert older.json()["irt"] == {"a": 1.1, "b": -0.25, "c": 0.2, "d": 1.0}
    assert "ETag" not in older.headers
    client.problem("teacher", f"/items/{school.items[0]}", 404, "item-not-found", params={"version": 3})
    client.problem("other teacher", f"/items/{school.items[0]}", 404, "item-not-found")
    client.problem("mina", f"/items/{school.items[0]}", 403, "role-required")


# ---- attempts


def test_an_examinee_gets_the_items_and_what_was_saved_and_no_key(client, school):
    answer = client.get("juno", f"/attempts/{school.attempts['juno by_hand']}")
    shown = answer.json()
    assert shown["status"] == "in_progress"
    assert shown["server_now"] == NOW.isoformat().replace("+00:00", "Z")
    assert shown["remaining_s"] == 3000
    assert [item["item_id"] for item in shown["items"]] == school.items
    first = shown["items"][0]
    assert (first["response"], first["sequence"]) == ({"options": ["1"]}, 2)
    assert (first["language"], first["stem"]) == ("ko", "Which? (ko)")
    assert first["options"][0] == {"id": "1", "text": "보기 1"}
    assert answer.headers["ETag"] == '"3"'
    assert not any(secret in answer.text for secret in SECRETS)


def test_another_language_can_be_asked_for_and_what_there_is_not_falls_back(client, school):
    shown = client.get("juno", f"/attempts/{school.attempts['juno by_hand']}", params={"lang": "en"}).json()
    assert [item["language"] for item in shown["items"]] == ["en", "en", "ko"]
    assert shown["items"][0]["options"][0]["text"] == "Option 1"


def test_an_attempt_without_a_limit_has_no_remaining_time(client, school):
    shown = client.get("mina", f"/attempts/{school.attempts['mina again']}").json()
    assert (shown["deadline"], shown["remaining_s"]) == (None, None)


def test_a_released_attempt_shows_score_key_and_explanation(client, school):
    shown = client.get("mina", f"/attempts/{school.attempts['mina at_once']}").json()
    assert (shown["score"], shown["max_score"]) == (3, 4)
    assert [item["result"]["score"] for item in shown["items"]] == [1, 0, 2]
    assert shown["items"][0]["result"]["key"] == {"options": ["1"]}
    assert shown["items"][0]["result"]["explanation"] == {"language": "en", "text": "Because it says so."}
    assert shown["items"][2]["result"]["key"] == {"value": "12.5", "tolerance": "0.1"}


@pytest.mark.parametrize("name", ["mina by_hand", "mina after_closing"])
def test_before_the_release_an_examinee_finds_the_key_and_the_score_nowhere(client, school, name):
    answer = client.get("mina", f"/attempts/{school.attempts[name]}")
    assert answer.json()["score"] is None
    assert all(item["result"] is None for item in answer.json()["items"])
    assert not any(secret in answer.text for secret in SECRETS)


def test_a_second_attempt_that_is_running_shows_no_key_although_the_first_one_does(client, school):
    answer = client.get("mina", f"/attempts/{school.attempts['mina again']}")
    assert all(item["result"] is None for item in answer.json()["items"])


def test_staff_see_the_result_of_a_scored_attempt_at_once(client, school):
    shown = client.get("teacher", f"/attempts/{school.attempts['mina by_hand']}").json()
    assert (shown["score"], shown["max_score"]) == (2, 4)


def test_other_people_s_attempts_do_not_exist(client, school):
    path = f"/attempts/{school.attempts['mina at_once']}"
    for who in ("juno", "stranger", "other teacher", "other zone"):
        client.problem(who, path, 404, "attempt-not-found")


def test_an_attempt_token_opens_its_attempt_and_nothing_else(client, school):
    client.get("mina's attempt", f"/attempts/{school.attempts['mina by_hand']}")
    other = f"/attempts/{school.attempts['mina at_once']}"
    client.problem("mina's attempt", other, 403, "attempt-token-only")
    client.problem("mina's attempt", "/users/me", 403, "attempt-token-only")


def test_attempts_are_listed_for_staff_and_one_s_own_for_examinees(client, school):
    path = f"/exams/{school.exams['at_once']}/attempts"
    listed = client.get("teacher", path).json()["items"]
    assert [each["display_name"] for each in listed] == ["미나", "준오", "미나"]
    assert [each["status"] for each in listed] == ["scored", "scored", "in_progress"]
    assert all("score" not in each for each in listed)
    assert {each["server_now"] for each in listed} == {NOW.isoformat().replace("+00:00", "Z")}
    own = client.get("mina", path, params={"limit": 1}).json()
    assert own["items"][0]["attempt_id"] == school.attempts["mina at_once"]
    rest = client.get("mina", path, params={"cursor": own["next_cursor"]}).json()
    assert [each["attempt_id"] for each in rest["items"]] == [school.attempts["mina again"]]


# ---- results


def test_staff_see_all_results_and_a_summary(client, school):
    shown = client.get("teacher", f"/exams/{school.exams['at_once']}/results").json()
    assert [(each["display_name"], each["score"]) for each in shown["items"]] == [("미나", 3), ("준오", 1)]
    assert shown["summary"] == {
        "attempts": 3,
        "in_progress": 1,
        "scored": 2,
        "mean_score": 2.0,
        "lowest_score": 1,
        "highest_score": 3,
        "ability": None,
    }


def test_examinees_see_their_own_result_and_no_summary(client, school):
    shown = client.get("juno", f"/exams/{school.exams['at_once']}/results").json()
    assert [each["attempt_id"] for each in shown["items"]] == [school.attempts["juno at_once"]]
    assert shown["summary"] is None


@pytest.mark.parametrize("name", ["by_hand", "after_closing"])
def test_results_that_are_not_released_are_a_conflict_and_not_an_empty_list(client, school, name):
    problem = client.problem("mina", f"/exams/{school.exams[name]}/results", 409, "results-not-released")
    assert problem["release"] == name


def test_whoever_took_no_part_gets_an_empty_list(client, school):
    assert client.get("idle", f"/exams/{school.exams['at_once']}/results").json()["items"] == []


def test_closing_and_releasing_open_the_results(database, principals):
    school = a_school()
    story = school.story
    story.add(school.exams["after_closing"], ExamClosed(reason="teacher"))
    story.add(school.exams["by_hand"], ResultsReleased())
    project(database, story)
    with client_of(an_app(database, principals)) as client:
        for name, score in (("after_closing", 1), ("by_hand", 2)):
            [own] = client.get("mina", f"/exams/{school.exams[name]}/results").json()["items"]
            assert own["score"] == score
            shown = client.get("mina", f"/attempts/{school.attempts[f'mina {name}']}").json()
            assert shown["items"][0]["result"]["key"] == {"options": ["1"]}


# ---- item analysis


def test_the_item_analysis_counts_first_attempts_and_says_what_was_chosen(client, school):
    shown = client.get("teacher", f"/analytics/exam/{school.exams['at_once']}").json()
    assert (shown["n"], shown["mean"], shown["kr20"]) == (2, 2.0, None)
    assert shown["score_distribution"] == [{"score": 1, "examinees": 1}, {"score": 3, "examinees": 1}]
    first, second, third = shown["items"]
    assert (first["code"], first["p_value"], first["omitted"]) == ("q0", 1.0, 0)
    assert second["omitted"] == 1
    assert [(each["option"], each["is_key"], each["count"]) for each in second["options"]] == [
        ("1", True, 0),
        ("2", False, 1),
        ("3", False, 0),
        ("4", False, 0),
    ]
    assert (third["p_value"], third["options"]) == (0.5, [])


def test_the_item_analysis_is_worked_out_beside_the_event_loop(client, school, monkeypatch):
    threads = []

    def noted(sums):
        threads.append(threading.current_thread())
        return analyse(sums)

    monkeypatch.setattr("read_api.analytics.analyse", noted)
    client.get("teacher", f"/analytics/exam/{school.exams['at_once']}")
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


def test_an_exam_that_nobody_has_taken_has_an_analysis_without_numbers(client, school):
    shown = client.get("teacher", f"/analytics/exam/{school.exams['after_closing']}").json()
    assert shown["n"] == 1
    assert shown["sd"] is None
    client.problem("teacher", f"/analytics/exam/{school.exams['draft']}", 404, "exam-not-found")


def test_the_item_analysis_is_for_the_exam_s_staff(client, school):
    path = f"/analytics/exam/{school.exams['at_once']}"
    client.problem("mina", path, 403, "role-required")
    client.problem("other teacher", path, 404, "exam-not-found")


# ---- ids and tokens


@pytest.mark.parametrize(
    "path",
    [
        "/exams/{}",
        "/exams/{}/attempts",
        "/exams/{}/results",
        "/item-banks/{}",
        "/item-banks/{}/items",
        "/items/{}",
        "/attempts/{}",
        "/analytics/exam/{}",
    ],
)
@pytest.mark.parametrize("text", ["nonsense", "%00", "exam-%ED%A0%80", f"zone-{SOME_UUID}", "' OR 1=1 --"])
def test_what_is_no_id_names_nothing(client, path, text):
    client.get("teacher", path.format(text), 404)


@pytest.mark.parametrize("category", ["exam", "attempt", "item", "item_bank"])
def test_an_id_that_nothing_has_is_not_found(client, category):
    paths = {
        "exam": "/exams/{}",
        "attempt": "/attempts/{}",
        "item": "/items/{}",
        "item_bank": "/item-banks/{}",
    }
    client.get("teacher", paths[category].format(f"{category}-{SOME_UUID}"), 404)


def token(stream_id, version):
    return {"Consistency-Token": ConsistencyToken(stream_id, version).encode()}


def test_a_token_of_what_is_visible_already_costs_no_wait(client, school):
    client.get("mina", "/users/me", headers=token(school.people["mina"], 2))


def test_a_token_that_names_nothing_is_refused(client, school):
    for named in ((school.people["mina"], 99), (f"exam-{SOME_UUID}", 1)):
        client.problem("mina", "/users/me", 422, "bad-consistency-token", headers=token(*named))


def test_a_read_waits_for_the_write_and_gives_up_in_time(database, principals):
    school = a_school()
    project(database, school.story)
    head = len(school.story.events)
    newest = school.story.events[-1].recorded
    headers = token(newest.stream_id, newest.version)

    def set_position(position):
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("UPDATE ops.projections SET position = %s WHERE name = 'people'", [position])

    set_position(head - 1)
    with client_of(an_app(database, principals, consistency_wait_s=0.05)) as client:
        refused = client.get("mina", "/users/me", 503, headers=headers)
        assert refused.json()["type"] == "urn:megacity:problem:read-model-behind"
        assert refused.headers["Retry-After"] == "1"
    with client_of(an_app(database, principals, consistency_wait_s=20)) as client:
        catching_up = threading.Timer(0.2, set_position, [head])
        catching_up.start()
        client.get("mina", "/users/me", headers=headers)
        assert not catching_up.is_alive(), "the answer came before the projection was there"


def test_a_database_that_is_away_is_a_problem_to_retry_and_no_fault(database, principals):
    school = a_school()
    project(database, school.story)
    app = an_app(database, principals)
    with client_of(app) as client:
        client.get("mina", "/users/me")
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("ALTER ROLE megacity_reader CONNECTION LIMIT 0")
            try:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'megacity_reader' AND datname = current_database()"
                )
                client.problem("mina", "/users/me", 503, "read-store-unreachable")
            finally:
                admin.execute("ALTER ROLE megacity_reader CONNECTION LIMIT -1")
        client.get("mina", "/users/me")


def test_nothing_that_an_examinee_fetches_holds_a_key_before_release(client, school):
    """Every route, as every examinee; results that are theirs to see at once are left out."""
    hidden = [school.exams[name] for name in ("by_hand", "after_closing", "in_zone")]
    paths = ["/users/me", "/exams", *(f"/exams/{exam}" for exam in hidden)]
    paths += [f"/exams/{exam}/{part}" for exam in hidden for part in ("attempts", "results")]
    released = ("mina at_once", "juno at_once", "mina adaptive", "mina adaptive shown")
    paths += [f"/attempts/{id_}" for name, id_ in school.attempts.items() if name not in released]
    paths += [f"/items/{item}" for item in school.items]
    paths += [f"/analytics/exam/{exam}" for exam in hidden]
    for who in ("mina", "juno", "idle", "stranger", "mina's attempt", "other zone"):
        for path in paths:
            answer = client.get(who, path, None)
            assert answer.status_code in {200, 403, 404, 409}
            assert not any(secret in json.dumps(answer.json(), ensure_ascii=False) for secret in SECRETS)
