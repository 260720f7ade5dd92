"""By default a live test gives the very items that `megacity cat simulate` gives to the same answers."""

import msgspec
import numpy as np
import pytest

from domain.attempts.adaptive import Ended, Presented, Step, opened
from domain.cat.lockstep import Limits, administer
from domain.cat.logistic import LogisticItems
from domain.cat.session import AdaptiveBank
from domain.exams.adaptive import AdaptiveRules
from tests.support.adaptive_sitting import PRIOR, SEED, live_test, parameters, pool_of, row_of, take

EXAMINEES = 1_000


def responses(table, seed):
    rng = np.random.default_rng(seed)
    a, b, c, d = table.T[:, None]
    theta = rng.normal(size=(EXAMINEES, 1))
    return (rng.random((EXAMINEES, len(table))) < c + (d - c) / (1 + np.exp(-a * (theta - b)))).astype(int)


def live_path(test, answers):
    """Items, final ability and reason, without the attempt around them."""
    sitting, steps = opened(PRIOR, SEED), ()
    while isinstance(decision := test.decide(sitting), Presented):
        row = row_of(decision.item_id)
        step = Step(
            item_id=decision.item_id, item_version=1, pretest=False, answered=True, right=bool(answers[row])
        )
        steps = (*steps, step)
        sitting = msgspec.structs.replace(sitting, steps=steps)
        known = test.estimate(sitting)
        sitting = msgspec.structs.replace(sitting, theta=known.theta, se=known.se)
    assert isinstance(decision, Ended)
    return [row_of(each.item_id) for each in steps], sitting.theta, sitting.se, decision.reason


@pytest.mark.parametrize(
    ("rules", "limits"),
    [
        (AdaptiveRules(), Limits()),
        (AdaptiveRules(stop_se=0.4, min_items=12, max_items=25), Limits(se=0.4, min_items=12, max_items=25)),
    ],
    ids=["the default", "with a minimum"],
)
def test_a_thousand_examinees_get_the_items_of_the_simulation(rules, limits):
    table = parameters(300)
    answers = responses(table, 5)
    expected = administer(AdaptiveBank(LogisticItems.of(*table.T)), answers, limits)
    test = live_test(rules, pool_of(table))

    for examinee in range(EXAMINEES):
        rows, theta, se, reason = live_path(test, answers[examinee])
        count = int(expected.counts[examinee])
        assert rows == expected.items[examinee, :count].tolist()
        # The simulation adds in another order: the last digits may differ.
        assert theta == pytest.approx(expected.theta[examinee], abs=1e-10)
        assert se == pytest.approx(expected.se[examinee], abs=1e-10)
        assert reason == expected.stop_reasons[examinee].value


def test_the_attempt_records_that_same_path():
    table = parameters(300)
    test = live_test(pool=pool_of(table))
    for answers in responses(table, 6)[:20]:
        taken = take(test, lambda row, _, answers=answers: bool(answers[row]))

        rows, theta, se, reason = live_path(test, answers)
        assert (taken.rows, taken.result.theta, taken.result.se, taken.result.stop_reason) == (
            rows,
            theta,
            se,
            reason,
        )
