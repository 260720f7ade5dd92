"""Adaptive exams and attempts over the read API: what examinees see of them, and what staff do."""

import pytest

from tests.support.adaptive_looks import found_ability, presented, updates

MAX_ITEMS, PRETEST, POOL_SIZE = 5, 1, 11


def path_of(school, name):
    return f"/attempts/{school.attempts[name]}"


def test_a_running_attempt_shows_the_items_given_so_far_and_the_pending_one_last(client, school):
    shown = client.get("juno", path_of(school, "juno adaptive")).json()
    given = presented(school.story, school.attempts["juno adaptive"])
    assert [item["item_id"] for item in shown["items"]] == [each.item_id for each in given]
    assert [item["ordinal"] for item in shown["items"]] == [1, 2, 3]
    assert [item["response"] is None for item in shown["items"]] == [False, False, True]
    assert (shown["adaptive"], shown["status"], shown["responses_given"]) == (True, "in_progress", 2)


def test_an_examinee_learns_nothing_of_ability_while_the_test_runs(client, school):
    shown = client.get("juno", path_of(school, "juno adaptive"))
    assert shown.json()["ability"] is None
    assert shown.json()["steps"] is None
    for word in ("theta", '"irt"', '"parameters"', "prior", "pretest"):
        assert word not in shown.text
    for each in updates(school.story, school.attempts["juno adaptive"]):
        assert repr(each.theta)[:8] not in shown.text


def test_staff_see_ability_as_it_stands_and_every_step(client, school):
    attempt = school.attempts["juno adaptive"]
    shown = client.get("teacher", f"/attempts/{attempt}").json()
    last = updates(school.story, attempt)[-1]
    assert (shown["ability"]["theta"], shown["ability"]["se"]) == (last.theta, last.se)
    assert shown["ability"]["stop_reason"] is None
    given, found = presented(school.story, attempt), updates(school.story, attempt)
    assert [(step["step"], step["item_id"], step["pretest"]) for step in shown["steps"]] == [
        (each.step, each.item_id, each.pretest) for each in given
    ]
    assert [step["theta_before"] for step in shown["steps"]] == [each.theta for each in given]
    assert [(step["theta"], step["se"], step["is_right"]) for step in shown["steps"]] == [
        *((each.theta, each.se, each.right) for each in found),
        (None, None, None),
    ]
    assert [step["responded_at"] is None for step in shown["steps"]] == [False, False, True]


def test_a_released_result_shows_ability_with_its_interval_and_why_the_test_ended(client, school):
    found = found_ability(school.story, school.attempts["mina adaptive"])
    shown = client.get("mina", path_of(school, "mina adaptive")).json()
    ability = shown["ability"]
    assert (ability["theta"], ability["se"]) == (found.theta, found.se)
    assert ability["high"] - ability["theta"] == pytest.approx(1.96 * found.se, rel=1e-4)
    assert ability["theta"] - ability["low"] == pytest.approx(1.96 * found.se, rel=1e-4)
    assert (ability["stop_reason"], ability["items_counted"]) == ("max_items", MAX_ITEMS)
    assert shown["max_score"] == MAX_ITEMS
    assert shown["steps"] is None


def test_items_that_counted_have_a_score_and_no_key_where_the_exam_keeps_its_keys(client, school):
    shown = client.get("mina", path_of(school, "mina adaptive"))
    assert len(shown.json()["items"]) == MAX_ITEMS + PRETEST
    results = {item["item_id"]: item["result"] for item in shown.json()["items"]}
    for each in presented(school.story, school.attempts["mina adaptive"]):
        assert (results[each.item_id] is None) == each.pretest
    counted = [result for result in results.values() if result is not None]
    assert sum(result["score"] for result in counted) == shown.json()["score"]
    assert all((each["key"], each["explanation"]) == (None, None) for each in counted)
    assert '"irt"' not in shown.text


def test_items_that_counted_have_their_key_where_the_exam_shows_it(client, school):
    shown = client.get("mina", path_of(school, "mina adaptive shown")).json()
    results = [item["result"] for item in shown["items"] if item["result"] is not None]
    assert [result["key"] for result in results] == [{"options": ["1"]}] * MAX_ITEMS


def test_staff_see_keys_whether_the_exam_shows_them_to_examinees_or_not(client, school):
    shown = client.get("teacher", path_of(school, "mina adaptive")).json()
    results = [item["result"] for item in shown["items"] if item["result"] is not None]
    assert [result["key"] for result in results] == [{"options": ["1"]}] * MAX_ITEMS


def test_before_release_there_is_no_ability_no_score_and_no_key(client, school):
    shown = client.get("mina", path_of(school, "mina adaptive by_hand")).json()
    assert (shown["status"], shown["ability"], shown["score"]) == ("scored", None, None)
    assert len(shown["items"]) == MAX_ITEMS + PRETEST
    assert all(item["result"] is None for item in shown["items"])
    path = f"/exams/{school.exams['adaptive by_hand']}/results"
    client.problem("mina", path, 409, "results-not-released")


def test_items_are_shown_in_the_language_asked_for(client, school):
    path = path_of(school, "juno adaptive")
    korean, english = (client.get("juno", path, params={"lang": each}).json() for each in ("ko", "en"))
    assert {item["stem"] for item in korean["items"]} == {"무엇입니까?"}
    assert {item["stem"] for item in english["items"]} == {"Which?"}


def test_another_examinee_learns_nothing_of_the_attempt(client, school):
    client.problem("juno", path_of(school, "mina adaptive"), 404, "attempt-not-found")


@pytest.mark.parametrize("who", ["mina", "idle"])
def test_an_examinee_learns_of_an_adaptive_exam_how_long_it_is_and_nothing_of_its_pool(client, school, who):
    made = school.adaptive["adaptive"]
    answer = client.get(who, f"/exams/{made.exam_id}")
    shown = answer.json()
    assert (shown["delivery"], shown["item_count"], shown["max_score"]) == ("adaptive", MAX_ITEMS, None)
    assert (shown["pool_size"], shown["items"], shown["adaptive"]) == (None, None, None)
    assert not any(item in answer.text for item in made.items)


def test_staff_see_the_pool_its_pinned_parameters_and_the_rules(client, school):
    made = school.adaptive["adaptive"]
    shown = client.get("teacher", f"/exams/{made.exam_id}").json()
    assert (shown["pool_size"], shown["bank_version"]) == (POOL_SIZE, 1)
    assert [item["item_id"] for item in shown["items"]] == made.items
    first = {name: float(getattr(made.bank, name)[0]) for name in "abcd"}
    assert shown["items"][0]["parameters"] == first
    assert [item["parameters"] for item in shown["items"][-2:]] == [None, None]
    assert (shown["adaptive"]["max_items"], shown["adaptive"]["shows_key"]) == (MAX_ITEMS, False)
    [listed] = [
        exam for exam in client.get("teacher", "/exams").json()["items"] if exam["exam_id"] == made.exam_id
    ]
    assert listed["pool_size"] == POOL_SIZE


def test_a_fixed_exam_is_what_it_was(client, school):
    shown = client.get("teacher", f"/exams/{school.exams['at_once']}").json()
    assert (shown["delivery"], shown["pool_size"], shown["adaptive"]) == ("fixed", None, None)
    assert (shown["bank_id"], shown["item_count"], shown["max_score"]) == (None, 3, 4)
    attempt = client.get("mina", path_of(school, "mina at_once")).json()
    assert (attempt["adaptive"], attempt["ability"], attempt["steps"]) == (False, None, None)


def test_results_of_an_adaptive_exam_tell_abilities_and_no_mean_score(client, school):
    path = f"/exams/{school.exams['adaptive']}/results"
    shown = client.get("teacher", path).json()
    found = found_ability(school.story, school.attempts["mina adaptive"])
    [row] = shown["items"]
    assert (row["ability"]["theta"], row["ability"]["stop_reason"]) == (found.theta, "max_items")
    assert shown["max_score"] is None
    assert (shown["summary"]["scored"], shown["summary"]["mean_score"]) == (1, None)
    assert shown["summary"]["ability"] == {
        "mean_theta": pytest.approx(found.theta),
        "sd_theta": None,
        "mean_se": pytest.approx(found.se),
        "mean_items": MAX_ITEMS,
    }
    [own] = client.get("mina", path).json()["items"]
    assert own == row


def test_classical_analysis_of_an_adaptive_exam_is_refused_and_says_why(client, school):
    path = f"/analytics/exam/{school.exams['adaptive']}"
    client.problem("teacher", path, 409, "analysis-of-adaptive-exam")
    client.problem("other teacher", path, 404, "exam-not-found")
    assert client.get("teacher", f"/analytics/exam/{school.exams['at_once']}").json()["n"] == 2
