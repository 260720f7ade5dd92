"""`megacity sample play` against the running program; killed in the middle, and gone on with."""

import csv
import json
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.support.api import eventually
from tests.support.processes import finished, running_system

ITEMS = 6
EXAMINEES = 80
SEEN_BEFORE_THE_KILL = 30


@pytest.fixture(scope="module")
def system():
    with running_system("--no-sample") as running:
        yield running


@pytest.fixture(scope="module")
def answers():
    """Options 1 to 4, and 9 for no answer, of made-up examinees."""
    chance = random.Random(20261123)
    return [chance.choices("12349", weights=[5, 3, 2, 1, 1], k=ITEMS) for _ in range(EXAMINEES)]


@pytest.fixture(scope="module")
def files(answers, tmp_path_factory):
    """The answers as two CSV files, and the words that have them played under a name."""
    folder = tmp_path_factory.mktemp("data")
    codes = [f"q{number}" for number in range(1, ITEMS + 1)]
    with (folder / "responses.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["examinee", *codes])
        table.writerows([f"e{number}", *row] for number, row in enumerate(answers))
    with (folder / "key.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("item", "key"), *((code, "1") for code in codes)])

    def words(name):
        return [
            *("sample", "play", "--json", "--name", name, "--missing", "9", "--concurrency", "8"),
            *("--responses", str(folder / "responses.csv"), "--key", str(folder / "key.csv")),
        ]

    return words


@pytest.fixture(scope="module")
def undisturbed(system, files):
    return json.loads(system.run(*files("undisturbed")))["analysis"]


def position(system):
    """Of the last event; what the walls count of themselves, now and then, is none of the play's."""
    [[head]] = system.query(
        "SELECT coalesce(max(position), 0) FROM log.positions JOIN log.events USING (append_id)"
        " WHERE stream_id NOT LIKE 'observation-%%'"
    )
    return head


def given_per_attempt(system, after):
    """How many first answers each attempt has got since a position."""
    return dict(
        system.query(
            "SELECT stream_id, count(*) FROM log.events JOIN log.positions USING (append_id) "
            "WHERE type = 'attempt.response_given.v1' AND position > %s GROUP BY stream_id",
            after,
        )
    )


def event_counts(system, after):
    rows = system.query(
        "SELECT type, count(*) FROM log.events JOIN log.positions USING (append_id) "
        "WHERE position > %s GROUP BY type",
        after,
    )
    return Counter(dict(rows))


def player_in_the_middle(system, words):
    """A player that has sent some of the answers, and the position before its first one."""
    before = position(system)
    player = system.start(*words)
    eventually(
        lambda: (
            player.poll() is not None
            or sum(given_per_attempt(system, before).values()) >= SEEN_BEFORE_THE_KILL
        )
    )
    assert player.poll() is None, "it was over before it could be disturbed"
    return player, before


def every_answer_is_there_once(system, before, answers):
    given = Counter(sum(option != "9" for option in row) for row in answers)
    del given[0]
    assert Counter(given_per_attempt(system, before).values()) == given
    counts = event_counts(system, before)
    assert counts["attempt.response_changed.v1"] == 0
    assert counts["attempt.started.v1"] == counts["attempt.scored.v1"] == EXAMINEES
    return True


def test_the_undisturbed_report_is_that_of_the_file(undisturbed, answers):
    assert undisturbed["n"] == EXAMINEES
    for place, item in enumerate(undisturbed["items"]):
        counted = Counter(row[place] for row in answers)
        assert {option["option"]: option["count"] for option in item["options"]} == {
            option: counted[option] for option in "1234"
        }
        assert item["omitted"] == counted["9"]


def test_a_killed_player_goes_on_where_it_was(system, files, answers, undisturbed):
    player, before = player_in_the_middle(system, files("killed-player"))
    player.kill()
    player.communicate()
    report = json.loads(system.run(*files("killed-player")))

    assert report["skipped"] > 0
    assert report["analysis"] == undisturbed
    assert every_answer_is_there_once(system, before, answers)


def test_ctrl_c_stops_the_player_and_says_how_to_go_on(system, files, answers, undisturbed):
    player, before = player_in_the_middle(system, files("interrupted"))
    player.send_signal(signal.SIGINT)
    out, err = player.communicate(timeout=30)

    assert player.returncode == 130, err
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert out == ""
    report = json.loads(system.run(*files("interrupted")))
    assert report["analysis"] == undisturbed
    assert every_answer_is_there_once(system, before, answers)


def test_a_killed_api_is_waited_for(system, files, answers, undisturbed):
    player, before = player_in_the_middle(system, files("killed-api"))
    killed = system.address["pid"]
    os.kill(killed, signal.SIGKILL)
    report = json.loads(finished(player))

    assert system.address["pid"] != killed
    assert report["analysis"] == undisturbed
    assert every_answer_is_there_once(system, before, answers)


def test_a_killed_database_is_waited_for(system, files, answers, undisturbed):
    player, before = player_in_the_middle(system, files("killed-database"))
    killed = system.postgres.status().pid
    os.kill(killed, signal.SIGKILL)
    report = json.loads(finished(player))

    assert system.postgres.status().pid != killed
    assert report["analysis"] == undisturbed
    assert every_answer_is_there_once(system, before, answers)


def test_lsat7_comes_out_as_published(system):
    report = json.loads(system.run("sample", "play", "LSAT7", "--json"))

    analysis = report["analysis"]
    assert (analysis["n"], report["examinees"]) == (1000, 1000)
    assert f"{analysis['alpha']:.4f}" == "0.4534"
    assert [f"{item['p_value']:.3f}" for item in analysis["items"]] == [
        "0.828",
        "0.658",
        "0.772",
        "0.606",
        "0.843",
    ]


def test_a_second_play_of_lsat7_adds_no_event_and_prints_the_report(system):
    system.run("sample", "play", "LSAT7", "--limit", "40")
    before = position(system)
    printed = system.run("sample", "play", "LSAT7", "--limit", "40")

    assert position(system) == before
    assert "coefficient alpha" in printed


def test_sat12_comes_out_as_published_and_its_distractors_are_counted_right(system):
    data = os.environ.get("MEGACITY_TEST_DATA")
    folder = Path(data or "") / "sat12"
    if data is None or not folder.is_dir():
        pytest.skip("MEGACITY_TEST_DATA names no folder that holds sat12")
    words = ["sample", "play", "--json", "--name", "SAT12", "--missing", "8"]
    words += ["--responses", str(folder / "responses.csv"), "--key", str(folder / "key.csv")]
    analysis = json.loads(system.run(*words, within_s=500))["analysis"]

    with (folder / "responses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert analysis["n"] == len(rows) == 600
    assert f"{analysis['alpha']:.4f}" == "0.7979"
    for item in analysis["items"]:
        counted = Counter(row[item["code"]] for row in rows)
        assert {option["option"]: option["count"] for option in item["options"]} == {
            option: counted[option] for option in "12345"
        }
        assert item["omitted"] == counted["8"]


def test_a_file_that_cannot_be_played_is_refused_with_a_sentence(system, tmp_path):
    (tmp_path / "responses.csv").write_text("examinee,q1\ne1,1\ne1,2\n")
    (tmp_path / "key.csv").write_text("item,key\nq1,1\n")
    player = system.start(
        *("sample", "play", "--responses", str(tmp_path / "responses.csv")),
        *("--key", str(tmp_path / "key.csv")),
    )
    _, err = player.communicate(timeout=60)

    assert player.returncode == 2
    assert "examinee 'e1' stands here a second time" in err
    assert "Traceback" not in err
