"""Small data, played through the API over real connections."""

import asyncio
from collections import Counter

import httpx
import msgspec
import psycopg
import pytest

from infra.sample.api_client import PlayStopped
from infra.sample.datasets import ResponseData, ResponseRow
from infra.sample.player import play_data_set
from infra.sample.sample_exam import publish_sample_exam
from tests.support.api import bearer

ANSWERS = ["112", "11.", "2..", "123", "...", "113", "132", "112"]


def some_data(name, answers=ANSWERS):
    """Three items with the keys 1, 1 and 2; a dot is no answer."""
    return ResponseData(
        name=name,
        title=f"The data {name}",
        item_codes=("a", "b", "c"),
        options=("1", "2", "3"),
        key={"a": "1", "b": "1", "c": "2"},
        rows=tuple(
            ResponseRow(f"e{number}", tuple(None if mark == "." else mark for mark in row))
            for number, row in enumerate(answers)
        ),
    )


@pytest.fixture(scope="module")
def demo(set_up, tmp_path_factory):
    return set_up(tmp_path_factory.mktemp("secrets"))


@pytest.fixture
def playing(api, demo, tmp_path, screen):
    """A play as a coroutine."""

    def start(data, **options):
        options = {"concurrency": 3, "patience_s": 20.0, "console": screen, **options}
        secret = options.pop("client_secret", demo.client_secret)
        return play_data_set(data, api.base_url, demo.client_id, secret, tmp_path / "state", **options)

    return start


@pytest.fixture
def play(playing):
    return lambda data, **options: asyncio.run(playing(data, **options))


@pytest.fixture
def events(api):
    """How many events of each type the log holds, but for what the walls count of themselves now and then."""

    def count():
        with psycopg.connect(api.database.admin_conninfo) as connection:
            rows = connection.execute(
                "SELECT type, count(*) FROM log.events WHERE stream_id NOT LIKE 'observation-%' GROUP BY type"
            )
            return Counter(dict(rows.fetchall()))

    return count


def test_the_report_is_that_of_the_answers(play, screen):
    report = play(some_data("report"))

    assert (report.examinees, report.skipped, report.answers) == (8, 0, 18)
    analysis = report.analysis
    assert analysis.n == 8
    assert [item.code for item in analysis.items] == ["a", "b", "c"]
    assert [item.p_value for item in analysis.items] == [6 / 8, 4 / 8, 3 / 8]
    assert [item.omitted for item in analysis.items] == [1, 2, 3]
    for place, item in enumerate(analysis.items):
        counted = Counter(row[place] for row in ANSWERS)
        assert {option.option: option.count for option in item.options} == {o: counted[o] for o in "123"}
    assert {each.score: each.examinees for each in analysis.score_distribution} == Counter(
        sum(mark == key for mark, key in zip(row, "112", strict=True)) for row in ANSWERS
    )
    assert "8 of 8 examinees, 18 answers" in screen.file.getvalue()


def test_a_second_play_adds_no_event_and_reports_the_same(play, events):
    first = play(some_data("twice"))
    before = events()
    second = play(some_data("twice"))

    assert events() == before
    assert second.analysis == first.analysis
    assert (second.exam_id, second.skipped, second.answers) == (first.exam_id, 8, 0)


def test_a_play_that_has_lost_its_notes_finds_everything_again(play, events, tmp_path):
    first = play(some_data("lost"))
    before = events()
    for notes in (tmp_path / "state").iterdir():
        notes.unlink()
    second = play(some_data("lost"))

    assert events() == before
    assert (second.exam_id, second.skipped) == (first.exam_id, 8)
    assert second.analysis == first.analysis


def test_notes_about_another_database_are_forgotten(play, tmp_path):
    first = play(some_data("elsewhere"))
    [notes] = (tmp_path / "state").iterdir()
    state = msgspec.json.decode(notes.read_bytes())
    state["exam_id"] = "exam-019cabcd-0000-7000-8000-000000000001"
    notes.write_bytes(msgspec.json.encode(state))
    second = play(some_data("elsewhere"))

    assert second.exam_id == first.exam_id
    assert second.analysis == first.analysis


def test_notes_that_claim_more_than_the_database_holds_are_not_believed(play, tmp_path):
    play(some_data("claims"), limit=3)
    [notes] = (tmp_path / "state").iterdir()
    state = msgspec.json.decode(notes.read_bytes())
    notes.write_bytes(msgspec.json.encode({**state, "handed_in": 8}))
    report = play(some_data("claims"))

    assert (report.analysis.n, report.skipped) == (8, 3)


def test_first_some_examinees_and_later_the_others(play):
    part = play(some_data("parts"), limit=3)
    whole = play(some_data("parts"))

    assert (part.examinees, part.analysis.n) == (3, 3)
    assert (whole.examinees, whole.skipped, whole.analysis.n) == (8, 3, 8)
    assert whole.exam_id == part.exam_id


@pytest.mark.parametrize("answers_first", [1, 7, 16])
def test_a_play_that_was_stopped_goes_on_and_every_answer_is_there_once(playing, events, answers_first):
    data = some_data(f"stopped-{answers_first}")
    before = events()

    def given():
        return events()["attempt.response_given.v1"] - before["attempt.response_given.v1"]

    async def stop_in_the_middle():
        task = asyncio.create_task(playing(data))
        while await asyncio.to_thread(given) < answers_first:
            assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stop_in_the_middle())
    report = asyncio.run(playing(data))

    after = events() - before
    assert given() == 18
    assert after["attempt.response_changed.v1"] == 0
    assert after["attempt.started.v1"] == after["attempt.scored.v1"] == 8
    assert report.analysis.n == 8
    assert [item.p_value for item in report.analysis.items] == [6 / 8, 4 / 8, 3 / 8]


def test_wrong_credentials_end_the_play_with_a_sentence(play):
    with pytest.raises(PlayStopped, match="/auth/token was refused"):
        play(some_data("refused"), client_secret="wrong")


def test_an_item_whose_name_the_api_does_not_take_is_pointed_to(play):
    data = msgspec.structs.replace(
        some_data("names"), item_codes=("a", "b", "no spaces"), key={"a": "1", "b": "1", "no spaces": "2"}
    )

    with pytest.raises(PlayStopped, match="row 3 /code"):
        play(data)


def test_two_plays_at_once_do_no_harm(playing, events):
    data = some_data("both")
    before = events()

    async def both():
        return await asyncio.gather(playing(data), playing(data))

    one, other = asyncio.run(both())
    assert one.analysis == other.analysis
    after = events() - before
    assert after["attempt.response_given.v1"] == 18
    assert after["attempt.response_changed.v1"] == 0


def test_the_sample_exam_is_published_once_for_everybody_in_the_zone(api, demo, tmp_path, events):
    teacher = demo.person("teacher")

    def publish():
        return asyncio.run(
            publish_sample_exam(
                api.base_url,
                teacher.email,
                teacher.password,
                tmp_path / "state",
                on_trouble=pytest.fail,
            )
        )

    exam_id = publish()
    before = events()
    assert publish() == exam_id
    assert events() == before

    student = api.person()
    started = httpx.post(f"{api.base_url}/api/v1/exams/{exam_id}/attempts", headers=bearer(student.token))
    assert started.status_code == 201, started.text
    token = {"Consistency-Token": started.headers["Consistency-Token"]}
    attempt = httpx.get(
        f"{api.base_url}/api/v1/attempts/{started.json()['attempt_id']}",
        headers=bearer(student.token) | token,
    )
    assert attempt.status_code == 200, attempt.text
    assert len(attempt.json()["items"]) == 42
