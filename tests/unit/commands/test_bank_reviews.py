"""From live responses to a calibration: which responses are of which item, and with which parameters."""

from datetime import UTC, datetime

import numpy as np
import pytest

from commands.bank_reviews import review_of
from commands.live_responses import LiveSittings, PresentedItem
from commands.pools import pinned_in
from domain.cat.items import LogisticItems
from domain.exams.adaptive import Pool, PooledItem
from domain.exams.events import FormItem
from domain.items.bank import Bank
from domain.items.calibration import CalibrationRules, PromotedItem
from domain.items.content import ItemParameters

OPERATIONAL = 8
EXAMINEES = 400
BEGIN, END = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)
BANK = Bank(name="수학", rules=CalibrationRules(min_responses=100, max_se_discrimination=1.0))
TRUTH = LogisticItems.of(1.5, np.linspace(-1.5, 1.5, OPERATIONAL + 1))


def pool(*, c=0.0, known=OPERATIONAL):
    """The items of one exam; the last one is for pretest unless it is known."""
    pooled = [
        PooledItem("all", (1.5, float(TRUTH.b[row]), c, 1.0) if row < known else None)
        for row in range(OPERATIONAL + 1)
    ]
    items = [FormItem(f"item-{row}", 1) for row in range(OPERATIONAL + 1)]
    return pinned_in(Pool(bank_id="item_bank-1", bank_version=1, items=tuple(pooled)), items)


def sittings(*exam_ids, seed=1):
    """Everybody was given every item, in the same order; examinees take the exams in turn."""
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal(EXAMINEES)
    right = rng.random((EXAMINEES, OPERATIONAL + 1)) < TRUTH.correct(theta)
    exams = np.arange(EXAMINEES) % len(exam_ids)
    items = [
        PresentedItem(exam_id, f"item-{row}", 1) for exam_id in exam_ids for row in range(OPERATIONAL + 1)
    ]
    return LiveSittings(
        items=items,
        exam_ids=exam_ids,
        presented=exams[:, np.newaxis] * (OPERATIONAL + 1) + np.arange(OPERATIONAL + 1),
        right=right,
        exams=exams,
        submitted_at=(BEGIN, END),
    )


def found_of(calibration, item_id):
    return [each for each in calibration.items if each.item_id == item_id]


def test_the_calibration_says_whose_responses_it_rests_on_and_what_was_found():
    found = review_of("one", BANK, sittings("exam-1"), {"exam-1": pool()})
    [pretest] = found_of(found, f"item-{OPERATIONAL}")

    assert (found.window.examinees, found.window.responses) == (EXAMINEES, EXAMINEES * (OPERATIONAL + 1))
    assert (found.window.from_, found.window.to) == (BEGIN, END)
    assert found.figures.model == "2pl"
    assert (pretest.role, pretest.used, pretest.proposal) == ("pretest", None, "promote")
    assert pretest.parameters.b == pytest.approx(1.5, abs=0.5)
    assert all(each.role == "operational" for each in found.items if each is not pretest)


def test_items_with_a_lower_asymptote_ask_for_the_3pl_and_the_rules_have_the_last_word():
    live, pools = sittings("exam-1"), {"exam-1": pool(c=0.1)}
    told = Bank(name="수학", rules=CalibrationRules(model="2pl", min_responses=100))

    assert review_of("one", BANK, live, pools).figures.model == "3pl"
    assert review_of("one", told, live, pools).figures.model == "2pl"


def test_responses_to_an_item_are_put_together_whatever_exam_they_are_of():
    found = review_of("one", BANK, sittings("exam-1", "exam-2"), {"exam-1": pool(), "exam-2": pool()})

    assert [each.responses for each in found_of(found, "item-0")] == [EXAMINEES]
    assert [each.responses for each in found_of(found, f"item-{OPERATIONAL}")] == [EXAMINEES]


def test_an_item_used_with_other_parameters_is_looked_at_by_itself():
    """Otherwise a promotion between two exams would look like drift."""
    pools = {"exam-1": pool(), "exam-2": pool(known=OPERATIONAL + 1)}
    found = review_of("one", BANK, sittings("exam-1", "exam-2"), pools)
    roles = {each.role: each.responses for each in found_of(found, f"item-{OPERATIONAL}")}

    assert roles == {"pretest": EXAMINEES // 2, "operational": EXAMINEES // 2}


def test_what_was_promoted_already_is_not_proposed_again():
    promoted = PromotedItem(f"item-{OPERATIONAL}", 1, ItemParameters(a=1.5, b=1.5))
    bank = Bank(name="수학", rules=BANK.rules, promoted=(promoted,))
    found = review_of("one", bank, sittings("exam-1"), {"exam-1": pool()})
    [pretest] = found_of(found, f"item-{OPERATIONAL}")

    assert (pretest.proposal, pretest.rule) == ("keep", "promoted-already")


def test_the_same_responses_lead_to_the_same_numbers():
    live, pools = sittings("exam-1"), {"exam-1": pool()}

    assert review_of("one", BANK, live, pools) == review_of("one", BANK, live, pools)
