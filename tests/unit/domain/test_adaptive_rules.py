"""What is refused in the rules of an adaptive exam, and in a pool that they cannot be met with."""

import math

import msgspec
import pytest

from domain.exams import exam
from domain.exams.adaptive import (
    MAX_POOL,
    MAX_POOL_WEIGHED,
    AdaptiveRules,
    AreaCount,
    AreaShare,
    CarryOver,
    Classification,
    Enemies,
    PretestPlan,
    Progressive,
    Proportional,
    Randomesque,
    SympsonHetter,
    faults_in_pool,
    faults_in_rules,
)
from domain.exams.adaptive import Testlet as Together  # else it is taken for a class of tests
from domain.exams.events import FormItem
from domain.exams.exam import UnusableBlueprint
from domain.identifiers import stream_id
from tests.support.adaptive_sitting import item_id, parameters, pool_of
from tests.support.exam_parts import EXAM_ID, NOON, blueprint, uuid7

IDS = tuple(item_id(row) for row in range(10))
NAN, INF = math.nan, math.inf


def faults(**changes):
    return [(pointer, code) for pointer, code, _ in faults_in_rules(AdaptiveRules(**changes), IDS)]


def test_the_defaults_are_usable():
    assert faults() == []


USABLE = {
    "every rule at once": {
        "selection": "posterior_weighted",
        "exposure": Progressive(2.0),
        "constraints": (AreaCount("x", 1, 3), Enemies(IDS[:2]), Together(IDS[2:5], 1, 2)),
        "stop_se": None,
        "min_items": 2,
        "max_items": 8,
        "min_information": 0.0,
        "classification": Classification(cuts=(-1.0, 1.0)),
        "carry_over": CarryOver(exam_id=EXAM_ID),
        "pretest": PretestPlan(items=2),
    },
    "a probability for each item": {"exposure": SympsonHetter((0.5,) * 10)},
    "a share of nothing": {"shares": (AreaShare("x", 0.0), AreaShare("y", 1.0))},
}


@pytest.mark.parametrize("changes", USABLE.values(), ids=USABLE)
def test_what_is_meant_is_taken(changes):
    assert faults(**changes) == []


REFUSED = [
    ({"max_items": 201}, "/max_items"),
    ({"min_items": 0}, "/min_items"),
    ({"min_items": 6, "max_items": 5}, "/min_items"),
    ({"min_items": 11}, "/min_items"),
    ({"stop_se": 0.0}, "/stop_se"),
    ({"stop_se": NAN}, "/stop_se"),
    ({"stop_se": 10.0}, "/stop_se"),
    ({"min_information": -0.1}, "/min_information"),
    ({"min_information": INF}, "/min_information"),
    ({"prior_mean": 4.1}, "/prior_mean"),
    ({"prior_mean": NAN}, "/prior_mean"),
    ({"prior_sd": 0.1}, "/prior_sd"),
    ({"prior_sd": 3.1}, "/prior_sd"),
    ({"carry_over": CarryOver(exam_id=IDS[0])}, "/carry_over/exam_id"),
    ({"carry_over": CarryOver(exam_id=EXAM_ID, max_age_days=0)}, "/carry_over/max_age_days"),
    ({"carry_over": CarryOver(exam_id=EXAM_ID, drift_sd=-0.1)}, "/carry_over/drift_sd"),
    ({"exposure": Randomesque(0)}, "/exposure/among"),
    ({"exposure": Randomesque(101)}, "/exposure/among"),
    ({"exposure": Progressive(-1.0)}, "/exposure/acceleration"),
    ({"exposure": Proportional(INF)}, "/exposure/acceleration"),
    ({"exposure": SympsonHetter((0.5,) * 9)}, "/exposure/probabilities"),
    ({"exposure": SympsonHetter((0.5,) * 9 + (1.1,))}, "/exposure/probabilities/9"),
    ({"exposure": SympsonHetter((NAN, *(0.5,) * 9))}, "/exposure/probabilities/0"),
    ({"shares": (AreaShare("x", -1.0), AreaShare("y", 1.0))}, "/shares/0/share"),
    ({"shares": (AreaShare("x", 1.0), AreaShare("x", 1.0))}, "/shares/1/area"),
    ({"shares": (AreaShare("x", 0.0),)}, "/shares"),
    ({"shares": (AreaShare("x", 1.0),), "constraints": (AreaCount("x"),)}, "/shares"),
    ({"constraints": (AreaCount("x", -1),)}, "/constraints/0"),
    ({"constraints": (AreaCount("x"), AreaCount("y", 3, 2))}, "/constraints/1"),
    ({"constraints": (Enemies(IDS[:1]),)}, "/constraints/0/items"),
    ({"constraints": (Enemies((IDS[0], item_id(99))),)}, "/constraints/0/items/1"),
    ({"constraints": (Enemies((IDS[0], IDS[0])),)}, "/constraints/0/items/1"),
    ({"constraints": (Together(IDS[:3], 0, 2),)}, "/constraints/0"),
    ({"constraints": (Together(IDS[:3], 3, 2),)}, "/constraints/0"),
    ({"constraints": (Together(IDS[:3], 1, 4),)}, "/constraints/0"),
    ({"classification": Classification(cuts=())}, "/classification/cuts"),
    ({"classification": Classification(cuts=(1.0, 1.0))}, "/classification/cuts"),
    ({"classification": Classification(cuts=(NAN,))}, "/classification/cuts"),
    ({"classification": Classification(cuts=(0.0,), confidence=1.0)}, "/classification/confidence"),
    ({"classification": Classification(cuts=(0.0,), half_width=0.0)}, "/classification/half_width"),
    ({"classification": Classification(cuts=(0.0,), alpha=0.5)}, "/classification/alpha"),
    ({"classification": Classification(cuts=(0.0,), beta=0.0)}, "/classification/beta"),
    ({"pretest": PretestPlan(items=1, first_position=0)}, "/pretest/first_position"),
    ({"pretest": PretestPlan(items=1, first_position=5, last_position=4)}, "/pretest/first_position"),
    ({"pretest": PretestPlan(items=0)}, "/pretest/items"),
    ({"pretest": PretestPlan(items=9)}, "/pretest/items"),
]


@pytest.mark.parametrize(("changes", "pointer"), REFUSED, ids=[f"{each}" for each in range(len(REFUSED))])
def test_what_cannot_be_meant_is_refused_with_its_place(changes, pointer):
    assert [where for where, _ in faults(**changes)] == [pointer]


POOL = pool_of(parameters(8), "xy", pretest=2)
IN_POOL = [
    ({"min_items": 9}, "/items"),
    ({"max_items": 9, "constraints": (AreaCount("x"),)}, "/items"),
    ({"shares": (AreaShare("x", 1), AreaShare("y", 1), AreaShare("z", 1))}, "/adaptive/shares/2/area"),
    ({"shares": (AreaShare("x", 1),)}, "/adaptive/shares"),
    ({"pretest": PretestPlan(items=3)}, "/adaptive/pretest/items"),
]


@pytest.mark.parametrize(("changes", "pointer"), IN_POOL, ids=[pointer for _, pointer in IN_POOL])
def test_what_the_pool_cannot_give_is_refused_with_its_place(changes, pointer):
    assert [where for where, *_ in faults_in_pool(AdaptiveRules(**changes), POOL)] == [pointer]


def test_a_pool_that_is_smaller_than_the_longest_test_is_enough_without_constraints():
    assert list(faults_in_pool(AdaptiveRules(max_items=50), POOL)) == []


def adaptive_exam(count=10, **changes):
    items = tuple(FormItem(item_id(row), 1) for row in range(count))
    return blueprint(items=items, adaptive=AdaptiveRules(**changes))


def test_faults_of_the_rules_stand_where_the_author_wrote_them():
    with pytest.raises(UnusableBlueprint) as refused:
        exam.draft(exam.Nothing(), adaptive_exam(max_items=0, stop_se=-1.0), new=True)
    places = {each["pointer"] for each in refused.value.data()["errors"]}
    assert {"/adaptive/max_items", "/adaptive/stop_se"} <= places


def test_a_pool_may_be_larger_than_a_form_and_has_a_limit_of_its_own():
    assert exam.draft(exam.Nothing(), adaptive_exam(count=501), new=True)
    with pytest.raises(UnusableBlueprint):
        exam.draft(exam.Nothing(), blueprint(items=adaptive_exam(count=501).items), new=True)
    with pytest.raises(UnusableBlueprint):
        exam.draft(exam.Nothing(), adaptive_exam(count=MAX_POOL + 1), new=True)


def test_what_is_published_pins_the_pool():
    plan = adaptive_exam()
    [published] = exam.publish(exam.Draft(plan), NOON, POOL)
    assert published.blueprint == msgspec.structs.replace(plan, pool=POOL)


def test_what_the_pool_cannot_give_is_not_published():
    with pytest.raises(UnusableBlueprint):
        exam.publish(exam.Draft(adaptive_exam(min_items=9)), NOON, POOL)


def test_a_fixed_exam_is_published_without_a_pool():
    plan = blueprint()
    [published] = exam.publish(exam.Draft(plan), NOON)
    assert published.blueprint == plan
    assert published.blueprint.pool is None


def test_another_streams_id_is_no_exam_to_carry_over_from():
    other = CarryOver(exam_id=stream_id("attempt", uuid7(1)))
    assert faults(carry_over=other) == [("/carry_over/exam_id", "unknown-exam")]


@pytest.mark.parametrize("selection", ["maximum_expected_information", "kullback_leibler"])
def test_a_rule_that_weighs_every_item_at_length_takes_a_smaller_pool(selection):
    ids = tuple(item_id(row) for row in range(MAX_POOL_WEIGHED + 1))
    rules = AdaptiveRules(selection=selection)

    assert [(pointer, code) for pointer, code, _ in faults_in_rules(rules, ids)] == [
        ("/selection", "pool-too-large")
    ]
    assert list(faults_in_rules(rules, ids[:-1])) == []
