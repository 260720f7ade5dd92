"""The test of one published adaptive exam: which item comes next for whom, and when it is enough.

A decision depends on the rules, the pinned pool and the attempt's own history, so that any that was ever
made can be made again. Nothing about an examinee is kept here.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from domain.attempts.adaptive import Decision, Ended, Estimate, Presented, Prior, Sitting
from domain.cat import blueprint as assembly
from domain.cat import exposure, selection, stopping, sympson_hetter
from domain.cat.choice import Bools, Choice, Rule, Standing
from domain.cat.content import ContentBalanced
from domain.cat.grid import DEFAULT_GRID
from domain.cat.items import LogisticItems
from domain.cat.live.chance import draw_at, pretest_order, pretest_positions
from domain.cat.live.explanation import Explanation
from domain.cat.maximum_information import FullEvaluation
from domain.cat.session import AdaptiveBank
from domain.cat.types import Floats, Ints
from domain.exams import adaptive as rules_of
from domain.exams.adaptive import AdaptiveRules, Pool
from domain.exams.events import FormItem
from domain.identifiers import StreamId

if TYPE_CHECKING:
    from domain.cat.shadow.assembler import ShadowAssembler

ALGORITHM_VERSION: Final = 1
"""Goes into each event; to be raised when the same history would lead to another item or estimate."""

EXHAUSTED: Final = "pool_exhausted"
"""The reason where every item was given before the test could end."""

_NO_CHANCE: Final = np.random.Generator(np.random.PCG64(0))
"""Handed to rules that draw nothing."""


class LiveTest:
    """See `domain.attempts.adaptive.AdaptiveTest`.

    Args:
        rules: of the exam, taken as checked by `domain.exams.adaptive`.
        pool: parameters of the items, as pinned.
        items: ids and versions, in the same order.

    Raises: Infeasible or InvalidConstraint where no test meets the constraints; InvalidItem.
    """

    algorithm_version: Final = ALGORITHM_VERSION

    def __init__(self, rules: AdaptiveRules, pool: Pool, items: Sequence[FormItem]) -> None:
        self.rules = rules
        self.bank_version = pool.bank_version
        pairs = list(zip(items, pool.items, strict=True))
        self.items = tuple(item for item, pooled in pairs if pooled.parameters is not None)
        self.pretest_items = tuple(item for item, pooled in pairs if pooled.parameters is None)
        self.areas = tuple(pooled.area for pooled in pool.items if pooled.parameters is not None)
        parameters = np.array([each.parameters for each in pool.items if each.parameters is not None])
        bank = LogisticItems.of(*parameters.T)
        self._plain = _is_plain(rules)
        self.bank = AdaptiveBank(bank, choosing=None if self._plain else FullEvaluation(bank))
        self.row_of = {item.item_id: row for row, item in enumerate(self.items)}
        self._select: Rule = _SELECTION[rules.selection]()
        self._balance = _balance(rules, self.areas, self._select)
        self._assembler = _assembler(rules, self.areas, self.row_of)
        self._stop = _stopping(rules, bank)
        self._kept_back = _exposure_probabilities(rules, pool)

    def estimate(self, sitting: Sitting) -> Estimate:
        """EAP on the default grid; before the first response that counts, the prior."""
        rows, _ = self._counted(sitting)
        if not rows.size:
            return Estimate(sitting.prior.mean, sitting.prior.sd, "prior", self._category(sitting.prior.mean))
        weights = self.posterior(sitting)
        points = DEFAULT_GRID.points
        theta = float(weights @ points)
        se = float(np.sqrt(weights @ (points - theta) ** 2))
        return Estimate(theta, se, "eap", self._category(theta))

    def posterior(self, sitting: Sitting) -> Floats:
        """(q,): weights over the points of the default grid, summing to 1."""
        rows, responses = self._counted(sitting)
        # Summed in the order in which they were given: rounding, too, is the same each time.
        log_density = log_prior(sitting.prior) + self.bank.log_likelihood[rows, responses].sum(axis=0)
        log_density -= log_density.max()
        weights = np.exp(log_density)
        shares: Floats = weights / weights.sum()
        return shares

    def decide(self, sitting: Sitting) -> Decision:
        ended = self._ended(sitting)
        if ended is not None:
            return ended
        hidden = self._pretest(sitting)
        if hidden is not None:
            return hidden
        if self._plain:
            return self._given(self.bank.choose(sitting.theta, ~self._left(sitting)))
        return self._chosen(sitting).decision

    def explain(self, sitting: Sitting) -> Explanation:
        """The same decision, with all that it rested on."""
        decided = self._ended(sitting) or self._pretest(sitting)
        if decided is None:
            return self._chosen(sitting)
        return self._told(sitting, decided)

    def _ended(self, sitting: Sitting) -> Ended | None:
        rows, responses = self._counted(sitting)
        left = self._left(sitting)
        information_left = None
        if self.rules.min_information is not None:
            information = self.bank.items.information(sitting.theta)[0]
            information_left = float(information[left].max(initial=-np.inf))
        progress = stopping.Progress(sitting.theta, sitting.se, rows, responses, information_left)
        stop = self._stop(progress) if rows.size else None
        if stop is not None and (rows.size >= self.rules.max_items or self._is_whole(rows)):
            category = self._category(sitting.theta) if stop.category is None else stop.category
            return Ended(stop.reason, category)
        return None if left.any() else Ended(EXHAUSTED, self._category(sitting.theta))

    def _is_whole(self, rows: Ints) -> bool:
        """Whether a test that ends here meets every constraint: what is at most holds all the time."""
        content = () if self._assembler is None else self._assembler.blueprint.constraints
        lacking = (
            isinstance(each, assembly.CountBetween) and np.isin(each.items, rows).sum() < each.low
            for each in content
        )
        return not any(lacking) and not self._is_within_testlet(rows)

    def _is_within_testlet(self, rows: Ints) -> bool:
        """Whether items that share a stimulus were begun, and more of them must follow."""
        testlets = () if self._assembler is None else self._assembler.blueprint.testlets
        return any(0 < np.isin(each.items, rows).sum() < each.limits[0] for each in testlets)

    def _pretest(self, sitting: Sitting) -> Presented | None:
        plan = self.rules.pretest
        if plan is None:
            return None
        if self._is_within_testlet(self._counted(sitting)[0]):
            return None
        due = pretest_positions(sitting.seed, plan)
        had = sum(step.pretest for step in sitting.steps)
        # Not "is this position due": a testlet may have put it off.
        if had >= plan.items or len(sitting.steps) + 1 < due[had]:
            return None
        item = self.pretest_items[int(pretest_order(sitting.seed, len(self.pretest_items))[had])]
        return Presented(item_id=item.item_id, item_version=item.item_version, pretest=True)

    def _chosen(self, sitting: Sitting) -> Explanation:
        rows, _ = self._counted(sitting)
        left = self._left(sitting)
        posterior = self.posterior(sitting)
        standing = Standing(sitting.theta, DEFAULT_GRID.points, posterior, rows, left)
        area, shadow = None, None
        if self._balance is not None:
            due, standing = self._balance.narrowed(standing)
            area = self.rules.shares[due].area
        if self._assembler is None:
            choice = self._select(self.bank.items, standing, _NO_CHANCE)
        else:
            everything = np.ones(len(self.items), dtype=bool)
            worth = Standing(sitting.theta, DEFAULT_GRID.points, posterior, rows, everything)
            criterion = self._select(self.bank.items, worth, _NO_CHANCE).criterion
            open_to = self._open_to(sitting, rows, left)
            # Without a word about who may be given what, the first test of all is found once.
            step = self._assembler.next_item(criterion, rows, None if open_to.all() else open_to)
            choice, shadow = step.choice, step.test
        choice = self._drawn(choice, sitting)
        passed_over = tuple(self.items[row].item_id for row in choice.passed_over.tolist())
        decision = self._given(choice.item, choice.draw, passed_over)
        return Explanation(
            decision,
            sitting.theta,
            sitting.se,
            posterior,
            self.bank.items.information(sitting.theta)[0],
            choice.criterion,
            choice.candidates,
            choice.draw,
            choice.passed_over,
            area,
            shadow,
        )

    def _open_to(self, sitting: Sitting, rows: Ints, left: Bools) -> Bools:
        """(m,): which items may be in the shadow test: no stimulus comes back once it was left."""
        open_to = left.copy()
        assert self._assembler is not None
        last = self.row_of.get(sitting.steps[-1].item_id, -1) if sitting.steps else -1
        for testlet in self._assembler.blueprint.testlets:
            if np.isin(testlet.items, rows).any() and last not in testlet.items:
                open_to[testlet.items] = False
        open_to[rows] = True
        return open_to

    def _drawn(self, choice: Choice, sitting: Sitting) -> Choice:
        """What exposure control makes of the choice."""
        control, serial = self.rules.exposure, 1 + sum(not step.pretest for step in sitting.steps)
        if control is None:
            return choice
        draw = draw_at(sitting.seed, len(sitting.steps) + 1)
        length = self.rules.max_items
        match control:
            case rules_of.Randomesque(among):
                return exposure.Randomesque(self._select, among).decide(choice.criterion, draw)
            case rules_of.Progressive(acceleration):
                progressive = exposure.Progressive(self._select, length, acceleration)
                return progressive.decide(choice.criterion, draw, serial)
            case rules_of.Proportional(acceleration):
                proportional = exposure.Proportional(self._select, length, acceleration)
                return proportional.decide(choice.criterion, draw, serial)
            case rules_of.SympsonHetter():
                return sympson_hetter.SympsonHetter(self._select, self._kept_back).decide(
                    choice.criterion, draw
                )

    def _told(self, sitting: Sitting, decision: Decision) -> Explanation:
        information = self.bank.items.information(sitting.theta)[0]
        return Explanation(decision, sitting.theta, sitting.se, self.posterior(sitting), information)

    def _given(
        self, row: int, draw: float | None = None, passed_over: tuple[StreamId, ...] = ()
    ) -> Presented:
        item = self.items[row]
        return Presented(
            item_id=item.item_id,
            item_version=item.item_version,
            pretest=False,
            draw=draw,
            passed_over=passed_over,
        )

    def _counted(self, sitting: Sitting) -> tuple[Ints, Ints]:
        """Rows and responses (k,) that count, in the order in which they were given."""
        counted = [
            (self.row_of[step.item_id], step.right)
            for step in sitting.steps
            if not step.pretest and step.right is not None
        ]
        return (
            np.array([row for row, _ in counted], dtype=np.int64),
            np.array([right for _, right in counted], dtype=np.int64),
        )

    def _left(self, sitting: Sitting) -> Bools:
        """(m,): which items may be given. Those passed over come back where nothing else is left."""
        left = np.ones(len(self.items), dtype=bool)
        left[[self.row_of[step.item_id] for step in sitting.steps if not step.pretest]] = False
        fresh = left.copy()
        fresh[[self.row_of[item_id] for step in sitting.steps for item_id in step.passed_over]] = False
        return fresh if fresh.any() else left

    def _category(self, theta: float) -> int | None:
        """As the estimate alone classifies."""
        cuts = None if self.rules.classification is None else self.rules.classification.cuts
        return None if cuts is None else sum(theta > cut for cut in cuts)


def log_prior(prior: Prior) -> Floats:
    """(q,): the logarithm of a normal density at the points of the default grid, up to a constant."""
    density: Floats = -(((DEFAULT_GRID.points - prior.mean) / prior.sd) ** 2) / 2
    return density


_SELECTION: Final[dict[rules_of.Selection, Callable[[], Rule]]] = {
    "maximum_information": selection.MaximumInformation,
    "posterior_weighted": selection.PosteriorWeightedInformation,
    "maximum_expected_information": selection.MaximumExpectedInformation,
    "kullback_leibler": selection.KullbackLeibler,
}


def _is_plain(rules: AdaptiveRules) -> bool:
    """Whether the item is the most informative one and nothing else has a say: then it is found faster."""
    return (
        rules.selection == "maximum_information"
        and rules.exposure is None
        and not rules.shares
        and not rules.constraints
    )


def _balance(rules: AdaptiveRules, areas: Sequence[str], select: Rule) -> ContentBalanced | None:
    if not rules.shares:
        return None
    return ContentBalanced.of(select, areas, {each.area: each.share for each in rules.shares})


def _assembler(
    rules: AdaptiveRules, areas: Sequence[str], row_of: dict[StreamId, int]
) -> "ShadowAssembler | None":
    if not rules.constraints:
        return None
    # Most live tests have no constraints, and the solver takes long to import.
    from domain.cat.shadow.assembler import ShadowAssembler

    made: list[assembly.Constraint] = []
    for number, constraint in enumerate(rules.constraints):
        match constraint:
            case rules_of.AreaCount(area, low, high):
                made += assembly.counts_per_area(areas, {area: (low, high)})
            case rules_of.Enemies(item_ids):
                made.append(assembly.Enemies(f"enemies {number}", _rows(item_ids, row_of)))
            case rules_of.Testlet(item_ids, low, high):
                rows = _rows(item_ids, row_of)
                made.append(assembly.Testlet(f"testlet {number}", rows, low, high))
    return ShadowAssembler(assembly.Blueprint(len(areas), rules.max_items, tuple(made)))


def _rows(item_ids: Sequence[StreamId], row_of: dict[StreamId, int]) -> Ints:
    """Pretest items take no part in constraints: they do not count."""
    return np.array([row_of[each] for each in item_ids if each in row_of], dtype=np.int64)


def _stopping(rules: AdaptiveRules, bank: LogisticItems) -> stopping.StoppingRule:
    wanted: list[stopping.StoppingRule] = []
    if rules.stop_se is not None:
        wanted.append(stopping.StandardErrorBelow(rules.stop_se))
    match rules.classification:
        case rules_of.Classification(method="probability_ratio") as rule:
            cuts = np.array(rule.cuts)
            wanted.append(stopping.ProbabilityRatio(bank, cuts, rule.half_width, rule.alpha, rule.beta))
        case rules_of.Classification() as rule:
            wanted.append(stopping.ConfidenceInterval(np.array(rule.cuts), rule.confidence))
        case None:
            pass
    if rules.min_information is not None:
        wanted.append(stopping.InformationBelow(rules.min_information))
    enough = stopping.at_least(rules.min_items, stopping.any_of(*wanted))
    return stopping.any_of(enough, stopping.MaximumItems(rules.max_items))


def _exposure_probabilities(rules: AdaptiveRules, pool: Pool) -> Floats:
    """(m,): Sympson and Hetter's, of the items that have parameters; 1 where they are not used."""
    operational = [each.parameters is not None for each in pool.items]
    if not isinstance(rules.exposure, rules_of.SympsonHetter):
        return np.ones(sum(operational))
    probabilities: Floats = np.array(rules.exposure.probabilities)[np.array(operational)]
    return probabilities
