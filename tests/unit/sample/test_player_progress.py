"""What a play says of itself where there is no terminal."""

import io

import pytest
from rich.console import Console

from infra.sample.progress import PLAIN_INTERVAL_S, PlayProgress, Troubles


class Time:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), width=60)


def lines(screen):
    return screen.file.getvalue().splitlines()


def play_one(progress, time, answers=5, takes_s=0.5):
    for _ in range(answers):
        progress.answered()
    time.now += takes_s
    progress.handed_in()


def test_a_line_now_and_then_tells_how_fast_it_goes_and_how_long_it_will_take(screen, time):
    with PlayProgress(screen, "DATA", 100, monotonic=time) as progress:
        progress.start_clock()
        while time.now < 100 + PLAIN_INTERVAL_S:
            play_one(progress, time)
        play_one(progress, time)
        [only] = lines(screen)

    assert only.startswith("DATA: 10 of 100 examinees, 5")
    assert only.endswith("about 45 s left")


def test_the_last_line_tells_everything_that_was_played(screen, time):
    with PlayProgress(screen, "DATA", 2, monotonic=time) as progress:
        progress.start_clock()
        play_one(progress, time)
        play_one(progress, time, answers=4)
        progress.answered()

    assert lines(screen) == ["DATA: 2 of 2 examinees, 10 answers, 10/s"]


def test_waiting_before_and_after_does_not_count_as_playing(screen, time):
    with PlayProgress(screen, "DATA", 1, monotonic=time) as progress:
        time.now += 50
        progress.start_clock()
        time.now += 2
        progress.answered()
        time.now += 1000

    assert progress.duration_s == 2
    assert progress.answers_per_s == 0.5


def test_answers_of_an_earlier_play_do_not_make_this_one_look_faster(screen, time):
    with PlayProgress(screen, "DATA", 10, monotonic=time) as progress:
        progress.start_clock()
        progress.skip(8)
        progress.handed_in(before=True)
        play_one(progress, time)

    assert progress.skipped == 9
    assert lines(screen) == ["DATA: 10 of 10 examinees, 5 answers, 10/s"]


def test_before_the_first_examinee_is_done_the_answers_are_told(screen, time):
    with PlayProgress(screen, "DATA", 3, monotonic=time) as progress:
        progress.start_clock()
        time.now += 10
        progress.answered()
        play_one(progress, time)

    assert lines(screen)[0] == "DATA: 0 of 3 examinees, 1 answers, 0/s"


def test_where_all_was_done_before_it_says_so(screen, time):
    with PlayProgress(screen, "DATA", 3, monotonic=time) as progress:
        progress.skip(3)

    assert lines(screen) == ["DATA: 3 of 3 examinees had handed in before"]


def test_trouble_is_told_now_and_then_not_at_every_failure(screen, time):
    tell = Troubles(screen, monotonic=time)
    for _ in range(20):
        tell("no API answers there [here]")
        time.now += 0.5

    assert lines(screen) == ["Trying again: no API answers there [here]"] * 2
