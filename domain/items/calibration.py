"""What a calibration of a bank from live responses says of each item, and what is proposed by which rule.

Numbers are on the bank's scale: logits, logistic metric, D = 1. How they are found is the business of
`domain.cat.upkeep`.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from domain.identifiers import StreamId
from domain.items.content import ItemParameters

CalibrationModel: TypeAlias = Literal["2pl", "3pl"]

Role: TypeAlias = Literal["pretest", "operational"]

Proposal: TypeAlias = Literal["promote", "wait", "reject", "keep", "review"]
"""Of a pretest item: give it the parameters found, collect more responses, or give it up. Of an operational
one: leave it, or look at it because it drifts."""


class CalibrationRules(msgspec.Struct, frozen=True, kw_only=True):
    """When an item is good enough for its bank, and when it is no longer what it was.

    Attributes:
        model: None takes the 3PL where an item of the bank has a lower asymptote, else the 2PL.
        min_responses: an item with fewer is not looked at.
        min_examinees: with fewer attempts there is no calibration at all.
        min_discrimination: below this a an item says too little.
        max_difficulty: beyond ± this b it is for nobody.
        max_se_difficulty: standard error of b up to which b counts as known, logits.
        max_se_discrimination: standard error of a, as a share of a.
        error_rate: expected share of false alarms among all alarms, of fit and of drift (Benjamini and
            Hochberg): many items are tested at once.
        min_change: share of right answers, more or less than expected, from which misfit and drift
            matter; with many responses anything is significant.
        promotes_automatically: the schedule promotes what is proposed, without asking a person.
    """

    model: CalibrationModel | None = None
    min_responses: int = 200
    min_examinees: int = 200
    min_discrimination: float = 0.4
    max_difficulty: float = 4.0
    max_se_difficulty: float = 0.4
    max_se_discrimination: float = 0.35
    error_rate: float = 0.01
    min_change: float = 0.05
    promotes_automatically: bool = False


class ParameterErrors(msgspec.Struct, frozen=True):
    """Standard errors; None where they cannot be known."""

    a: float | None
    b: float | None
    c: float | None


class FitTest(msgspec.Struct, frozen=True, kw_only=True):
    """Observed and expected right answers by groups of ability (chi-squared).

    `misfit` is the typical difference of a group's share right from the expected one, beyond chance.
    `infit` and `outfit` are mean squares, about 1.
    """

    statistic: float
    df: int
    p_value: float
    misfit: float
    infit: float
    outfit: float


class DriftTest(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the responses still follow the parameters that the item was used with (score test).

    `change_a` and `change_b` are where they would have to go, to a first approximation. `mean_residual` is
    the share right beyond the expected one; `change` the typical difference in the chance of a right answer,
    beyond what is due to chance.
    """

    statistic: float
    df: int
    p_value: float
    mean_residual: float
    change_a: float
    change_b: float
    change: float


class CalibratedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item version as it showed itself. `used` are the parameters with which it chose and counted.

    `parameters` were estimated now, with all other items held as they are: of pretest items, and of
    operational ones that drift. `rule` names what decided upon the proposal.
    """

    item_id: StreamId
    item_version: int
    role: Role
    responses: int
    right: int
    used: ItemParameters | None = None
    parameters: ItemParameters | None = None
    errors: ParameterErrors | None = None
    fit: FitTest | None = None
    drift: DriftTest | None = None
    flags: tuple[str, ...] = ()
    proposal: Proposal
    rule: str


class CalibrationWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Whose responses they were: first attempts at these exams, submitted from `from_` up to `to`."""

    exam_ids: tuple[StreamId, ...]
    from_: datetime = msgspec.field(name="from")
    to: datetime
    examinees: int
    responses: int


class CalibrationFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How it was estimated, and how far it can be trusted as a whole."""

    method: str
    model: CalibrationModel
    algorithm_version: int
    points: int
    lowest: float
    highest: float
    log_likelihood: float
    iterations: int
    converged: bool
    population_mean: float
    population_sd: float


class PromotedItem(msgspec.Struct, frozen=True):
    item_id: StreamId
    item_version: int
    parameters: ItemParameters


class DriftFinding(msgspec.Struct, frozen=True, kw_only=True):
    """An item that no longer works as it did, with the parameters that it was used with."""

    item_id: StreamId
    item_version: int
    used: ItemParameters
    responses: int
    drift: DriftTest


def faults_in_rules(rules: CalibrationRules) -> Iterator[tuple[str, str, str]]:
    """Pointer, code and detail of everything that cannot be meant."""
    for name, low, high in (
        ("min_responses", 50, 1_000_000),
        ("min_examinees", 50, 1_000_000),
    ):
        if not low <= getattr(rules, name) <= high:
            yield f"/{name}", "number", f"Use {low} to {high}."
    for name, above, most in (
        ("min_discrimination", 0.0, 5.0),
        ("max_difficulty", 0.0, 6.0),
        ("max_se_difficulty", 0.0, 5.0),
        ("max_se_discrimination", 0.0, 5.0),
        ("error_rate", 0.0, 0.2),
        ("min_change", 0.0, 0.5),
    ):
        value = getattr(rules, name)
        if not (math.isfinite(value) and above < value <= most):
            yield f"/{name}", "number", f"It is above {above:g} and at most {most:g}."


def proposal_for(item: CalibratedItem, rules: CalibrationRules, *, converged: bool) -> CalibratedItem:
    """The item with its proposal and the rule that said so. The first rule that applies decides.

    `flags` say what the tests of many items together have found: `misfit`, `drift`, `at_bound`.
    """
    proposal, rule = _proposal(item, rules, converged=converged)
    return msgspec.structs.replace(item, proposal=proposal, rule=rule)


def _proposal(item: CalibratedItem, rules: CalibrationRules, *, converged: bool) -> tuple[Proposal, str]:
    if item.role == "operational":
        if item.drift is None:
            return "keep", "too-few-responses"
        return ("review", "drift") if "drift" in item.flags else ("keep", "no-drift")
    found, errors = item.parameters, item.errors
    if found is None or errors is None:
        return "wait", "too-few-responses"
    a_error, b_error = errors.a, errors.b
    if not converged:
        return "wait", "not-converged"
    if "at_bound" in item.flags or a_error is None or b_error is None:
        return "wait", "no-maximum"
    decided: tuple[tuple[bool, Proposal, str], ...] = (
        # A flat curve may be noise: the item is given up once a is known to be too low.
        (found.a + 2 * a_error < rules.min_discrimination, "reject", "discrimination"),
        ("misfit" in item.flags, "reject", "misfit"),
        (found.a < rules.min_discrimination, "wait", "discrimination"),
        (b_error > rules.max_se_difficulty, "wait", "standard-error-of-difficulty"),
        (a_error > rules.max_se_discrimination * found.a, "wait", "standard-error-of-discrimination"),
        (abs(found.b) > rules.max_difficulty, "reject", "difficulty"),
    )
    return next(
        ((proposal, rule) for applies, proposal, rule in decided if applies), ("promote", "meets-all-rules")
    )
