"""`megacity cat explain` on attempts in the log: what it tells, and that it finds what does not agree."""

import json

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from domain.attempts.events import AbilityUpdated, ItemPresented
from domain.cat.live.engine import LiveTest
from domain.cat.logistic import LogisticItems
from domain.exams.adaptive import (
    AdaptiveRules,
    AreaCount,
    Classification,
    PretestPlan,
    Randomesque,
)
from infra.cli.main import app
from tests.support.adaptive_story import publish_adaptive, take_adaptive
from tests.support.exam_parts import STUDENT
from tests.support.postgres import ROLE_SECRET, run_folder
from tests.support.stored_story import store
from tests.support.story import Story, a_whole_story

EXPOSED = AdaptiveRules(
    exposure=Randomesque(4),
    pretest=PretestPlan(items=2, first_position=2, last_position=5),
    classification=Classification(cuts=(0.0,)),
    stop_se=0.5,
    max_items=12,
)
CONSTRAINED = AdaptiveRules(constraints=(AreaCount("reading", 6, 6),), stop_se=None, max_items=8)


def a_bank(count=24):
    rng = np.random.default_rng(4)
    return LogisticItems.of(rng.lognormal(0.2, 0.3, count), rng.normal(0, 1.2, count), 0.15)


class Attempts:
    def __init__(self):
        self.story = Story()
        rng = np.random.default_rng(5)
        plain = publish_adaptive(self.story, a_bank(), AdaptiveRules(max_items=10))
        exposed = publish_adaptive(self.story, a_bank(), EXPOSED, pretest=4)
        constrained = publish_adaptive(self.story, a_bank(), CONSTRAINED)
        self.plain = take_adaptive(self.story, plain, STUDENT, 0.4, rng)
        self.exposed = take_adaptive(self.story, exposed, STUDENT, -0.5, rng)
        self.constrained = take_adaptive(self.story, constrained, STUDENT, 1.0, rng)
        self.running = take_adaptive(self.story, plain, STUDENT, 0.0, rng, answers=3, hands_in=False)
        self.early = take_adaptive(self.story, plain, STUDENT, 0.0, rng, answers=2)

    def events(self, attempt, kind):
        return [each.event for each in self.recorded(attempt) if isinstance(each.event, kind)]

    def recorded(self, attempt):
        return [each.recorded for each in self.story.events if each.recorded.stream_id == attempt]

    def change(self, attempt, kind, nth, **changes):
        """As if the log held something else there."""
        places = [
            place
            for place, each in enumerate(self.story.events)
            if each.recorded.stream_id == attempt and isinstance(each.recorded.event, kind)
        ]
        each = self.story.events[places[nth]]
        event = msgspec.structs.replace(each.recorded.event, **changes)
        recorded = msgspec.structs.replace(each.recorded, event=event)
        self.story.events[places[nth]] = msgspec.structs.replace(each, recorded=recorded)


@pytest.fixture
def attempts():
    return Attempts()


@pytest.fixture
def explain(database, monkeypatch):
    """Stores the story and runs the command on it."""
    with run_folder("cat-explain") as folder:
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))

        def run(attempts, *arguments, status=0):
            store(database, attempts.story)
            done = CliRunner().invoke(app, ["cat", "explain", *map(str, arguments)])
            assert done.exit_code == status, done.output
            return done

        run.folder = folder
        yield run


def told(done):
    return json.loads(done.stdout)


def test_each_step_is_told_with_what_was_known_and_why_the_item_was_chosen(explain, attempts):
    account = told(explain(attempts, attempts.plain, "--format", "json"))

    updates = attempts.events(attempts.plain, AbilityUpdated)
    items = attempts.events(attempts.plain, ItemPresented)
    *steps, end = account["decisions"]
    assert [step["step"] for step in steps] == [item.step for item in items]
    assert [step["decided"]["item_id"] for step in steps] == [item.item_id for item in items]
    assert [step["before"]["theta"] for step in steps] == [update.theta for update in updates[:-1]]
    assert [step["answer"]["right"] for step in steps] == [update.right for update in updates[1:]]
    assert [step["answer"]["se"] for step in steps] == [update.se for update in updates[1:]]
    for step in steps:
        best, *others = step["candidates"]
        assert best["chosen"]
        assert best["item_id"] == step["decided"]["item_id"]
        assert len(others) == 4
        assert best["information"] >= max(other["information"] for other in others)
        assert step["before"]["posterior"]["q25"] < step["before"]["posterior"]["q75"]
    assert end["decided"]["kind"] == "end"
    assert account["derived_again"] == {"same": len(items) + 1, "differs": 0, "other_algorithm": 0}
    assert account["end"]["theta"] == updates[-1].theta


def test_what_narrowed_the_choice_is_told(explain, attempts):
    exposed = told(explain(attempts, attempts.exposed, "--format", "json", "--top", 2))
    kinds = [step["decided"]["kind"] for step in exposed["decisions"]]
    assert kinds.count("pretest") == 2
    chosen = [step for step in exposed["decisions"] if step["decided"]["kind"] == "item"]
    assert all(step["decided"]["draw"] is not None for step in chosen)
    assert {step["narrowed_by"]["tied_or_drawn_among"] for step in chosen} == {4}
    # The item chosen is shown although it is not among the best two.
    assert all(sum(each["chosen"] for each in step["candidates"]) == 1 for step in chosen)
    assert exposed["derived_again"]["differs"] == 0
    assert exposed["end"]["category"] in {0, 1}


def test_the_constraint_that_bound_is_named(explain, attempts):
    account = told(explain(attempts, attempts.constrained, "--format", "json"))
    shadow = account["decisions"][0]["narrowed_by"]["shadow_test"]
    assert shadow["items"] == 8
    assert shadow["binding"] == ["reading"]
    assert account["derived_again"] == {"same": 9, "differs": 0, "other_algorithm": 0}


def test_a_person_reads_it_as_text(explain, attempts):
    text = explain(attempts, attempts.exposed).stdout
    for words in (
        "prior N(0.0000, 1.0000²)",
        "chance drew",
        "a pretest item",
        "derived again: the same",
        "Result",
    ):
        assert words in text
    assert "DIFFERS" not in text


def test_one_step_alone_can_be_asked_for(explain, attempts):
    account = told(explain(attempts, attempts.plain, "--step", 3, "--top", 1, "--format", "json"))
    assert [step["step"] for step in account["decisions"]] == [3]
    assert len(account["decisions"][0]["candidates"]) == 1


def test_a_running_attempt_is_told_as_far_as_it_came(explain, attempts):
    account = told(explain(attempts, attempts.running, "--format", "json"))
    assert [step["answer"] is None for step in account["decisions"]] == [False, False, False, True]
    assert account["end"] is None


def test_an_attempt_that_was_handed_in_early_ends_as_it_did(explain, attempts):
    account = told(explain(attempts, attempts.early, "--format", "json"))
    assert account["end"]["reason"] == "examinee"
    assert "handed it in" in CliRunner().invoke(app, ["cat", "explain", attempts.early]).stdout


CHANGES = {
    "another item": (ItemPresented, 2, {"item_version": 7}, "item_version was 7 and is 1"),
    "another draw": (ItemPresented, 0, {"draw": 0.5}, "draw was 0.5"),
    "another ability": (AbilityUpdated, 2, {"theta": 1.5}, "ability was 1.5"),
    "another error": (AbilityUpdated, 2, {"se": 0.125}, "standard error was 0.125"),
    "another end": (AbilityUpdated, -1, {"stop_reason": "max_items"}, "to end by max_items"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_not_as_the_log_leads_to_is_found(explain, attempts, change):
    kind, nth, changes, words = change
    attempts.change(attempts.exposed, kind, nth, **changes)
    done = explain(attempts, attempts.exposed, status=1)
    assert "DIFFERS" in done.stdout
    assert words in done.stdout


def test_a_response_that_was_taken_for_wrong_is_found(explain, attempts):
    update = attempts.events(attempts.plain, AbilityUpdated)[1]
    attempts.change(attempts.plain, AbilityUpdated, 1, right=not update.right)
    assert "the response was taken as" in explain(attempts, attempts.plain, status=1).stdout


def test_decisions_of_another_algorithm_are_said_to_be_that(explain, attempts, monkeypatch):
    monkeypatch.setattr(LiveTest, "algorithm_version", 2)
    account = told(explain(attempts, attempts.plain, "--format", "json"))
    assert account["derived_again"]["other_algorithm"] == len(account["decisions"])


@pytest.mark.parametrize("name", ["path.svg", "path.png"])
def test_the_path_is_drawn(explain, attempts, name):
    pytest.importorskip("matplotlib")
    explain(attempts, attempts.exposed, "--plot", explain.folder / name)
    assert (explain.folder / name).stat().st_size > 2_000


def test_what_is_no_adaptive_attempt_is_refused_with_a_clear_sentence(explain, attempts):
    story = a_whole_story(1)
    fixed = next(each.recorded.stream_id for each in story.events if each.recorded.category == "attempt")
    attempts.story = story
    assert "fixed form" in explain(attempts, fixed, status=2).output

    for wrong, words in (
        ("nonsense", "not the id of an attempt"),
        (STUDENT, "not the id of an attempt"),
        ("attempt-019cabcd-0000-7000-8000-00000000dead", "There is no stream"),
    ):
        done = CliRunner().invoke(app, ["cat", "explain", wrong])
        assert done.exit_code == 2
        assert words in done.output


def test_a_position_that_it_never_came_to_is_refused(explain, attempts):
    done = explain(attempts, attempts.running, "--step", 9, status=2)
    assert "no decision about position 9" in done.output
