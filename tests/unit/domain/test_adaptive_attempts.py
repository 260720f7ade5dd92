"""An adaptive attempt: one item at a time, each answered once, the engine's turn, the end."""

from datetime import timedelta

import msgspec
import pytest

from domain.attempts import attempt
from domain.attempts.adaptive import Prior
from domain.attempts.attempt import (
    AttemptFinished,
    AttemptNotFound,
    AttemptTimeIsUp,
    InProgress,
    ItemNotPending,
    NotStarted,
    ResponseIsFinal,
    Scored,
    SentResponse,
)
from domain.attempts.events import (
    AbilityUpdated,
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ItemPresented,
    ResponseGiven,
    ScoredAbility,
)
from domain.exams.adaptive import AdaptiveRules, Classification
from domain.items.responses import ChosenOptions, ResponseDoesNotFit
from tests.support.adaptive_sitting import (
    PRIOR,
    RIGHT,
    SEED,
    WRONG,
    Taking,
    always,
    form_of,
    item_id,
    live_test,
    parameters,
    pool_of,
    started,
)
from tests.support.exam_parts import EXAM_ID, NOON, STUDENT, UNKNOWN_ITEM_ID

TEST = live_test(AdaptiveRules(stop_se=None, max_items=4), pool_of(parameters(20)))
FORM = form_of(TEST)
LATE = NOON + timedelta(hours=1, seconds=6)
DEADLINE = NOON + timedelta(hours=1)


def begun(**changes):
    return Taking(FORM, **changes)


def types(events):
    return [type(event) for event in events]


def test_it_starts_with_its_prior_its_seed_and_the_first_item():
    prior = Prior(mean=0.75, sd=0.6, carried_over_from="attempt-of-last-year")
    taking = begun(prior=prior)

    assert types(taking.events) == [AttemptStarted, AbilityUpdated, ItemPresented]
    opening, item = taking.events[1], taking.events[2]
    assert opening == AbilityUpdated(
        exam_id=EXAM_ID,
        examinee_id=STUDENT,
        step=0,
        item_id=None,
        right=None,
        pretest=False,
        theta=0.75,
        se=0.6,
        method="prior",
        bank_version=4,
        algorithm_version=TEST.algorithm_version,
        seed=SEED,
        carried_over_from="attempt-of-last-year",
        stop_reason=None,
        category=None,
    )
    assert (item.step, item.theta, item.bank_version) == (1, 0.75, 4)
    assert taking.sitting.prior == prior
    assert taking.pending == item.item_id


def test_the_first_item_depends_on_the_prior():
    low, high = (begun(prior=Prior(mean=mean, sd=0.5)).pending for mean in (-2.5, 2.5))
    assert low != high


def test_it_starts_once():
    with pytest.raises(attempt.AttemptExists):
        attempt.start_adaptive(begun().state, started(), TEST, PRIOR, SEED)


def test_a_response_waits_for_the_engine_and_leaves_ability_as_it_is():
    taking = begun()
    events = taking.respond(RIGHT)

    assert types(events) == [ResponseGiven]
    assert taking.pending is None
    assert taking.sitting.to_decide is taking.sitting.steps[-1]
    assert taking.sitting.theta == 0.0


def test_the_engine_takes_notice_and_presents_the_next_item_in_one_step():
    taking = begun()
    first = taking.pending
    taking.respond(RIGHT)
    update, item = taking.advance()

    assert isinstance(update, AbilityUpdated)
    assert isinstance(item, ItemPresented)
    assert (update.step, update.item_id, update.right, update.seed) == (1, first, True, SEED)
    assert update.theta > 0
    assert (item.step, item.theta) == (2, update.theta)
    assert taking.pending == item.item_id != first


def test_a_wrong_answer_and_none_at_all_are_the_same_to_the_engine():
    wrong, empty = begun(), begun()
    wrong.respond(WRONG)
    empty.respond(None)
    assert wrong.advance() == empty.advance()


def test_the_engine_decides_nothing_where_nothing_waits():
    taking = begun()
    assert taking.advance() == []
    taking.respond(RIGHT)
    assert len(taking.advance()) == 2
    assert taking.advance() == []
    taking.to_the_end(always(True))
    assert taking.advance() == []
    with pytest.raises(AttemptNotFound):
        attempt.advance(NotStarted(), FORM)


def test_the_same_response_once_more_changes_nothing():
    taking = begun()
    first = taking.pending
    taking.respond(RIGHT)
    assert taking.respond(RIGHT, first) == []
    taking.advance()
    assert taking.respond(RIGHT, first) == []


def test_an_answer_cannot_be_changed_nor_taken_back():
    taking = begun()
    first = taking.pending
    taking.respond(RIGHT)
    for other in (WRONG, None):
        with pytest.raises(ResponseIsFinal):
            taking.respond(other, first)
    taking.advance()
    with pytest.raises(ResponseIsFinal):
        taking.respond(WRONG, first)


def test_only_the_item_that_was_presented_is_answered():
    taking = begun()
    never_presented = next(item_id(row) for row in range(20) if item_id(row) != taking.pending)
    for other in (never_presented, UNKNOWN_ITEM_ID):
        with pytest.raises(ItemNotPending) as refused:
            taking.respond(RIGHT, other)
        assert refused.value.data() == {"pending_item_id": taking.pending}

    taking.respond(RIGHT)
    with pytest.raises(ItemNotPending) as refused:
        taking.respond(RIGHT, never_presented)
    assert refused.value.data() == {"pending_item_id": None}


def test_a_response_of_another_kind_is_refused():
    taking = begun()
    with pytest.raises(ResponseDoesNotFit):
        taking.respond(ChosenOptions(("9",)))
    assert taking.pending is not None


def test_after_the_last_item_the_engine_hands_in():
    taking = begun()
    for _ in range(3):
        taking.step(right=True)
    taking.respond(WRONG)
    update, submitted, scored = taking.advance()

    assert (update.stop_reason, submitted.by) == ("max_items", "engine")
    assert isinstance(submitted, AttemptSubmitted)
    assert isinstance(scored, AttemptScored)
    assert scored.ability == ScoredAbility(
        theta=update.theta,
        se=update.se,
        method="eap",
        items=4,
        stop_reason="max_items",
        category=None,
        bank_version=4,
        algorithm_version=TEST.algorithm_version,
    )
    assert [item.item_id for item in scored.items] == [event.item_id for event in taking.presented]
    assert [item.score for item in scored.items] == [1, 1, 1, 0]
    assert (scored.score, scored.max_score) == (3, 4)
    assert isinstance(taking.state, Scored)
    assert taking.state.attempt.sitting.stop_reason == "max_items"


def test_whoever_hands_in_early_gets_what_was_found_so_far():
    taking = begun()
    taking.step(right=True)
    before = taking.sitting
    submitted, scored = taking.submit()

    assert submitted.by == "examinee"
    assert (scored.ability.theta, scored.ability.se) == (before.theta, before.se)
    assert (scored.ability.items, scored.ability.stop_reason) == (1, "examinee")
    assert [item.score for item in scored.items] == [1]


def test_a_response_that_the_engine_has_not_seen_counts_when_it_is_handed_in():
    early, engine = begun(), begun()
    for taking in (early, engine):
        taking.step(right=True)
        taking.respond(WRONG)
    update, *_ = engine.advance()
    noticed, submitted, scored = early.submit()

    assert noticed == update
    assert isinstance(submitted, AttemptSubmitted)
    assert (scored.ability.theta, scored.ability.items) == (update.theta, 2)
    assert early.advance() == []


def test_handing_in_without_an_answer_finds_the_prior():
    taking = begun()
    _, scored = taking.submit()
    assert (scored.ability.theta, scored.ability.se, scored.ability.method) == (0.0, 1.0, "prior")
    assert (scored.ability.items, scored.items, scored.max_score) == (0, (), 0)


def test_handing_in_early_classifies_as_the_estimate_does():
    rules = AdaptiveRules(stop_se=None, max_items=4, classification=Classification(cuts=(-0.1, 0.1)))
    for right, category in ((True, 2), (False, 0)):
        taking = Taking(form_of(live_test(rules, pool_of(parameters(20)))))
        taking.step(right=right)
        assert taking.submit()[-1].ability.category == category


def test_handing_in_twice_changes_nothing_and_then_nothing_is_taken():
    taking = begun()
    first = taking.pending
    taking.submit()
    assert taking.submit() == []
    with pytest.raises(AttemptFinished):
        taking.respond(RIGHT, first)


def test_after_the_time_is_up_no_answer_is_taken_and_the_clock_hands_in():
    taking = begun(deadline=DEADLINE)
    taking.step(right=True)
    taking.respond(RIGHT, now=DEADLINE + timedelta(seconds=5))
    taking.advance()
    with pytest.raises(AttemptTimeIsUp):
        taking.respond(RIGHT, now=LATE)
    submitted, scored = taking.submit(now=LATE)
    assert (submitted.by, scored.ability.stop_reason, scored.ability.items) == ("clock", "clock", 2)


def test_a_response_in_time_is_noticed_although_the_engine_comes_late():
    taking = begun(deadline=DEADLINE)
    taking.respond(RIGHT, now=DEADLINE)
    _, _, scored = taking.submit("clock", now=LATE)
    assert scored.ability.items == 1


def test_the_state_is_that_of_the_events_alone():
    taking = begun().to_the_end(always(False))
    state = NotStarted()
    for event in taking.events:
        state = attempt.evolve(state, event)
    assert state == taking.state


def test_events_that_another_kind_of_attempt_never_has_leave_it_alone():
    fixed = attempt.evolve(NotStarted(), started())
    item = begun().presented[0]
    assert attempt.evolve(fixed, item) == fixed
    assert isinstance(fixed, InProgress)
    assert attempt.advance(fixed, FORM) == []


def test_a_sequence_is_kept_and_decides_nothing():
    taking = begun()
    sent = SentResponse(item_id=taking.pending, response=RIGHT, sequence=7)
    [given] = attempt.give_response(taking.state, FORM, sent, NOON)
    assert given.sequence == 7
    state = attempt.evolve(taking.state, given)
    older = msgspec.structs.replace(sent, sequence=3)
    assert attempt.give_response(state, FORM, older, NOON) == []
