"""An adaptive attempt in a whole system: what was just written is read at once, by whom it may be."""

import pytest

from tests.support.adaptive_api import Sitting, adaptive_exam
from tests.support.api import eventually, running_api
from tests.support.postgres import fresh_database, run_folder

RULES = {"max_items": 3, "stop_se": None}


@pytest.fixture(scope="module")
def school(postgres_server):
    with (
        run_folder("api") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, exam={"next_item_wait_s": 20.0}) as running,
    ):
        yield running.school()


def read(person, path, written):
    """What is shown once it includes the write."""
    token = {"Consistency-Token": written.headers["Consistency-Token"]}
    answer = person.http.get(path, headers=token)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_the_examinee_is_asked_is_what_the_attempt_shows_last(school):
    sitting = Sitting.start(school.student(), adaptive_exam(school, rules=RULES))
    asked = []
    for _ in range(RULES["max_items"] - 1):
        asked.append(sitting.next["item"]["item_id"])
        written = sitting.answer("2")
        pending = sitting.next["item"]["item_id"]
        eventually(
            lambda: read(sitting.person, sitting.url, written)["items"][-1]["item_id"] == pending  # noqa: B023
        )
        shown = read(sitting.person, sitting.url, written)
        assert [item["item_id"] for item in shown["items"]] == [*asked, pending]
        assert shown["items"][-1]["stem"] == sitting.next["item"]["stem"]
        assert (shown["ability"], shown["score"], shown["steps"]) == (None, None, None)


def test_examinee_and_staff_see_the_ability_that_was_found(school):
    exam = adaptive_exam(school, rules={**RULES, "shows_key": True})
    sitting = Sitting.start(school.student(), exam)
    while sitting.next["status"] == "item":
        written = sitting.answer("2")
    eventually(lambda: read(sitting.person, sitting.url, written)["status"] == "scored")
    own = read(sitting.person, sitting.url, written)
    staffs = read(school.teacher, sitting.url, written)
    assert own["ability"] == staffs["ability"]
    assert own["ability"]["theta"] == staffs["steps"][-1]["theta"] > 0
    assert (own["ability"]["items_counted"], own["ability"]["stop_reason"]) == (3, "max_items")
    assert [item["result"]["key"] for item in own["items"]] == [{"options": ["2"]}] * 3
    results = read(school.teacher, f"/exams/{exam.exam_id}/results", written)
    assert [row["ability"] for row in results["items"]] == [own["ability"]]


def test_an_exam_says_how_it_is_delivered_from_its_first_draft_on(school):
    exam = adaptive_exam(school, operational=6, pretest=2, rules=RULES)
    eventually(lambda: school.teacher.http.get(f"/exams/{exam.exam_id}").json().get("status") == "published")
    shown = school.teacher.http.get(f"/exams/{exam.exam_id}").json()
    assert (shown["delivery"], shown["item_count"], shown["pool_size"]) == ("adaptive", 3, 8)
    assert (shown["bank_id"], shown["bank_version"]) == (exam.bank_id, 1)
    assert [item["parameters"] is None for item in shown["items"]] == [False] * 6 + [True] * 2
    assert shown["adaptive"]["max_items"] == 3
