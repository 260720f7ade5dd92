"""Simulated examinees who take a live adaptive test, decided step by step by `LiveTest` itself."""

import msgspec
import numpy as np

from domain.attempts.adaptive import Ended, Prior, Sitting, Step, opened
from domain.cat.items import LogisticItems
from domain.cat.live.engine import LiveTest
from domain.cat.upkeep import Sittings
from domain.exams.adaptive import AdaptiveRules, Pool, PooledItem
from domain.exams.events import FormItem


def live_test(used: LogisticItems, pretest: int, rules: AdaptiveRules) -> LiveTest:
    """A test of items `item-0`, `item-1`, … with these parameters, and of pretest items behind them."""
    parameters = [(a, b, c, d) for a, b, c, d in zip(used.a, used.b, used.c, used.d, strict=True)]
    pooled = [PooledItem("all", tuple(map(float, each))) for each in parameters]
    pooled += [PooledItem("all", None)] * pretest
    items = tuple(FormItem(f"item-{row}", 1) for row in range(len(pooled)))
    return LiveTest(rules, Pool(bank_id="item_bank-1", bank_version=1, items=tuple(pooled)), items)


def taken(test: LiveTest, truth: LogisticItems, theta: float, seed: int) -> Sitting:
    """The whole sitting of one examinee, who answers by the true parameters (rows as in `live_test`)."""
    rng = np.random.default_rng(seed)
    chances = truth.correct(theta)[0]
    sitting = opened(Prior(mean=test.rules.prior_mean, sd=test.rules.prior_sd), seed)
    while True:
        decided = test.decide(sitting)
        if isinstance(decided, Ended):
            return msgspec.structs.replace(sitting, stop_reason=decided.reason)
        right = bool(rng.random() < chances[int(decided.item_id.removeprefix("item-"))])
        step = Step(
            item_id=decided.item_id,
            item_version=1,
            pretest=decided.pretest,
            passed_over=decided.passed_over,
            answered=True,
            right=right,
        )
        sitting = msgspec.structs.replace(sitting, steps=(*sitting.steps, step))
        estimate = test.estimate(sitting)
        sitting = msgspec.structs.replace(sitting, theta=estimate.theta, se=estimate.se)


def taken_by(test: LiveTest, truth: LogisticItems, thetas: np.ndarray, seed: int = 0) -> Sittings:
    """The sittings of many, as `domain.cat.upkeep` takes them."""
    found = [taken(test, truth, float(theta), seed * 1_000_003 + at) for at, theta in enumerate(thetas)]
    longest = max(len(each.steps) for each in found)
    items = np.full((len(found), longest), -1)
    right = np.zeros((len(found), longest), dtype=bool)
    for at, sitting in enumerate(found):
        for step, each in enumerate(sitting.steps):
            items[at, step] = int(each.item_id.removeprefix("item-"))
            right[at, step] = each.right
    return Sittings.of(items, right, np.zeros(len(found)))
