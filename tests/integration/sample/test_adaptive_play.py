"""The adaptive sample exam, taken through the API over real connections."""

import asyncio
from collections import Counter

import psycopg
import pytest

from domain.attempts.events import AbilityUpdated, AttemptScored, ItemPresented, ResponseGiven
from infra.sample.adaptive_bank import adaptive_bank
from infra.sample.adaptive_player import RULES, answer_of, play_adaptive, true_ability

EXAMINEES = 4


@pytest.fixture
def playing(api, demo, tmp_path, screen):
    def start(**options):
        options = {"concurrency": 2, "patience_s": 20.0, "console": screen, "examinees": EXAMINEES, **options}
        state = options.pop("state", tmp_path / "state")
        return play_adaptive(api.base_url, demo.client_id, demo.client_secret, state, **options)

    return start


@pytest.fixture
def counted(api):
    """How many events of each type the log holds, but for what the walls count of themselves now and then."""

    def count():
        with psycopg.connect(api.database.admin_conninfo) as connection:
            rows = connection.execute(
                "SELECT type, count(*) FROM log.events WHERE stream_id NOT LIKE 'observation-%' GROUP BY type"
            )
            return Counter(dict(rows.fetchall()))

    return count


def test_everybody_is_measured_by_items_chosen_for_them(api, playing, screen):
    report = asyncio.run(playing())

    assert len(report.examinees) == EXAMINEES
    assert (report.pool_size, report.pretest_items) == (156, 6)
    assert sum(report.stop_reasons.values()) == EXAMINEES
    given = []
    for each in report.examinees:
        events = api.events(each.attempt_id)
        scored = next(event for event in events if isinstance(event, AttemptScored))
        assert scored.ability.theta == each.found.theta
        assert scored.ability.stop_reason in {"se", "max_items"}
        assert each.found.items_counted == sum(
            isinstance(event, AbilityUpdated) and event.step > 0 and not event.pretest for event in events
        )
        items = [event.item_id for event in events if isinstance(event, ItemPresented)]
        assert len(items) == len(set(items))
        assert sum(event.pretest for event in events if isinstance(event, ItemPresented)) == 1
        given.append(items)
    assert len({tuple(items) for items in given}) == EXAMINEES
    assert report.answers == sum(map(len, given))
    assert report.rmse < 3 * report.mean_se
    assert f"{EXAMINEES} of {EXAMINEES} examinees, {report.answers} answers" in screen.file.getvalue()


def test_a_second_play_adds_no_event_and_finds_the_same(playing, counted):
    first = asyncio.run(playing())
    before = counted()
    second = asyncio.run(playing())

    assert counted() == before
    assert second.examinees == first.examinees
    assert (second.exam_id, second.skipped, second.answers) == (first.exam_id, EXAMINEES, 0)


def test_more_examinees_join_the_exam_that_is_there(playing):
    first = asyncio.run(playing(examinees=1))
    second = asyncio.run(playing(examinees=2))

    assert second.exam_id == first.exam_id
    assert second.examinees[0] == first.examinees[0]
    assert (second.skipped, len(second.examinees)) == (1, 2)


def test_a_stopped_play_without_its_notes_goes_on_at_the_very_item(api, playing, counted, tmp_path):
    before = counted()["attempt.response_given.v1"]

    async def stop_in_the_middle():
        task = asyncio.create_task(playing())
        while (await asyncio.to_thread(counted))["attempt.response_given.v1"] < before + 5:
            assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stop_in_the_middle())
    for notes in (tmp_path / "state").iterdir():
        notes.unlink()
    report = asyncio.run(playing())

    assert len(report.examinees) == EXAMINEES
    for each in report.examinees:
        events = api.events(each.attempt_id)
        presented = [event.item_id for event in events if isinstance(event, ItemPresented)]
        assert [event.item_id for event in events if isinstance(event, ResponseGiven)] == presented


def test_the_items_are_fit_to_be_asked():
    bank = adaptive_bank()
    assert bank == adaptive_bank()
    areas = [each["area"] for each in RULES["shares"]]
    assert Counter(item.area for item in bank) == dict.fromkeys(areas, 52)
    assert Counter(item.pretest for item in bank) == {False: 150, True: 6}
    assert len({item.question.en for item in bank}) == len({item.question.ko for item in bank}) == len(bank)
    assert max(Counter(item.key for item in bank).values()) < len(bank) / 3
    for item in bank:
        assert len(set(item.options)) == 4
        assert item.options[item.key] == item.question.answer


def test_who_is_able_is_right_more_often_and_answers_the_same_again():
    bank = adaptive_bank()
    names = sorted((f"{n:03d}" for n in range(1, 41)), key=true_ability)

    def right(name):
        return sum(answer_of(name, item) == str(item.key + 1) for item in bank)

    assert sum(right(name) for name in names[:10]) < sum(right(name) for name in names[30:]) - 300
    assert [answer_of("007", item) for item in bank] == [answer_of("007", item) for item in bank]
