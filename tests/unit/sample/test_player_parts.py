"""The parts of the player that talk to nobody: identity, notes on disk, when to send again."""

import os
import stat

import msgspec
import pytest

from infra.sample import retry
from infra.sample.datasets import ResponseData, ResponseRow
from infra.sample.player import Frontier, identity
from infra.sample.state_file import digest_of, open_state


def some_data(**changes):
    data = ResponseData(
        name="DATA",
        title="Some data",
        item_codes=("a", "b"),
        options=("1", "2"),
        key={"a": "1", "b": "2"},
        rows=(ResponseRow("e1", ("1", None)), ResponseRow("e2", ("2", "2"))),
    )
    return msgspec.structs.replace(data, **changes)


def test_the_same_data_is_recognised_under_another_title():
    assert digest_of(*identity(some_data())) == digest_of(*identity(some_data(title="Another title")))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "OTHER"},
        {"key": {"a": "2", "b": "2"}},
        {"options": ("1", "2", "3")},
        {"rows": (ResponseRow("e1", ("1", None)), ResponseRow("e2", ("2", None)))},
        {"item_codes": ("b", "a")},
    ],
)
def test_data_that_differs_anywhere_is_other_data(change):
    assert digest_of(*identity(some_data())) != digest_of(*identity(some_data(**change)))


def test_a_digest_does_not_depend_on_the_order_in_which_a_mapping_was_made():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})


def test_a_request_has_the_same_key_only_when_the_same_is_asked(tmp_path):
    file = open_state(tmp_path, "DATA", "contents")
    key = file.request_key("bank", {"name": "Bank"})

    assert key == open_state(tmp_path, "DATA", "contents").request_key("bank", {"name": "Bank"})
    assert key != file.request_key("draft", {"name": "Bank"})
    assert key != file.request_key("bank", {"name": "Other"})
    assert key != open_state(tmp_path, "DATA", "other contents").request_key("bank", {"name": "Bank"})


def test_notes_are_found_again_by_name_and_contents(tmp_path):
    file = open_state(tmp_path, "DATA", "contents")
    file.state.exam_id = "exam-1"
    file.state.user_ids["e1"] = "user-1"
    file.state.handed_in = 7
    file.save()

    again = open_state(tmp_path, "DATA", "contents").state
    assert (again.exam_id, again.user_ids, again.handed_in) == ("exam-1", {"e1": "user-1"}, 7)
    assert open_state(tmp_path, "DATA", "other contents").state.exam_id is None


def test_a_name_with_odd_characters_stays_in_the_folder(tmp_path):
    file = open_state(tmp_path, "../../a b/ü", "contents")
    file.save()

    assert [path.parent for path in tmp_path.rglob("*.json")] == [tmp_path]
    assert file.path.name.startswith(".._.._a_b__-")


def test_notes_that_were_cut_short_count_as_none(tmp_path):
    file = open_state(tmp_path, "DATA", "contents")
    file.state.handed_in = 7
    file.save()
    os.truncate(file.path, 9)

    assert open_state(tmp_path, "DATA", "contents").state.handed_in == 0


def test_notes_are_replaced_whole_and_leave_nothing_else_behind(tmp_path):
    file = open_state(tmp_path, "DATA", "contents")
    for count in (1, 2):
        file.state.handed_in = count
        file.save()

    assert list(tmp_path.iterdir()) == [file.path]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_what_was_forgotten_is_not_in_the_next_notes(tmp_path):
    file = open_state(tmp_path, "DATA", "contents")
    file.state.user_ids["e1"] = "user-1"
    file.forget()

    assert file.state.user_ids == {}
    assert open_state(tmp_path, "OTHER", "contents").state.user_ids == {}


def test_the_frontier_stands_before_the_first_one_that_is_not_finished():
    frontier = Frontier()
    for index in (0, 1, 2):
        frontier.begin(index)
    frontier.end(1)
    assert frontier.finished == 0
    frontier.end(0)
    assert frontier.finished == 2
    frontier.end(2)
    assert frontier.finished == 3


def test_the_frontier_goes_on_from_where_an_earlier_play_stood():
    frontier = Frontier(5)
    assert frontier.finished == 5
    frontier.begin(5)
    frontier.end(5)
    assert frontier.finished == 6


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (500, "internal-error"),
        (502, ""),
        (503, "read-model-behind"),
        (429, ""),
        (409, "request-in-flight"),
        (409, "version-conflict"),
    ],
)
def test_what_may_pass_is_sent_again(status, slug):
    assert retry.is_temporary(status, slug)


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (401, "invalid-token"),
        (403, "denied"),
        (404, "exam-not-found"),
        (409, "no-attempts-left"),
        (409, "attempt-finished"),
        (422, "invalid-request"),
    ],
)
def test_what_is_refused_for_good_is_not(status, slug):
    assert not retry.is_temporary(status, slug)


def test_waits_double_up_to_a_longest_one():
    assert [retry.delay_s(failures, None, 0.0) for failures in range(1, 8)] == [
        *(0.1, 0.2, 0.4, 0.8, 1.6),
        *(3.0, 3.0),
    ]
    assert retry.delay_s(10_000, None, 0.0) == 3.0


def test_jitter_takes_off_up_to_half_but_never_goes_below_what_the_server_asks_for():
    assert retry.delay_s(3, None, 1.0) == pytest.approx(0.2)
    assert retry.delay_s(3, 5.0, 1.0) == 5.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2", 2.0), ("0", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("1e9", None)],
)
def test_retry_after_is_read_when_it_is_a_number_of_seconds(value, seconds):
    assert retry.retry_after_s({"retry-after": value}) == seconds


def test_without_retry_after_the_server_asks_for_nothing():
    assert retry.retry_after_s({}) is None
