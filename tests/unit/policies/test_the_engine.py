"""Deny by default, forbid first, and no from what cannot be evaluated."""

import subprocess
import sys

import msgspec
import pytest

from domain.policies.policy_set import PolicySet
from infra.policies import engine
from infra.policies.engine import EngineRefused, PreparedSet, PreparedSets, parsed
from tests.support.policies import a_request, rule_of, set_of

PERMIT, FORBID = rule_of(effect="permit"), rule_of(effect="forbid")
ZONE_IS_KNOWN = {"op": "exists", "attribute": "resource.zone"}
AT_NIGHT = {"op": "<", "attribute": "context.hour", "value": 6}


def ids(policy_set: PolicySet, *places: int) -> tuple[str, ...]:
    return tuple(policy_set.rules[place].policy_id for place in places)


def test_what_nothing_permits_is_denied():
    answer = PreparedSet(set_of(rule_of(actions=["take_exam"]))).decide(a_request())
    assert (answer.allowed, answer.reason, answer.decided_by) == (False, "no_permit", ())


def test_a_forbid_overrides_every_permit_and_is_the_reason():
    rules = set_of(PERMIT, FORBID, PERMIT, FORBID)
    answer = PreparedSet(rules).decide(a_request())
    assert (answer.allowed, answer.reason, answer.decided_by) == (False, "forbidden", ids(rules, 1, 3))


def test_all_rules_that_permit_are_named():
    rules = set_of(PERMIT, rule_of(roles=["teacher"]), PERMIT)
    answer = PreparedSet(rules).decide(a_request())
    assert (answer.allowed, answer.decided_by) == (True, ids(rules, 0, 2))


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_what_is_not_known_counts_against_access(effect):
    rules = (
        set_of(PERMIT, rule_of(effect="forbid", when=AT_NIGHT))
        if effect == "forbid"
        else set_of(rule_of(effect="permit", when={"op": "not", "of": AT_NIGHT}))
    )
    prepared = PreparedSet(rules)
    assert prepared.decide(a_request(context={"hour": 12})).allowed
    assert not prepared.decide(a_request(context={"hour": 3})).allowed
    assert not prepared.decide(a_request()).allowed


@pytest.mark.parametrize(
    ("op", "hours"),
    [
        ("<", [5]),
        ("<=", [5, 6]),
        ("==", [6]),
        ("!=", [5, 7]),
    ],
)
def test_numbers_are_compared_to_the_edge(op, hours):
    prepared = PreparedSet(set_of(rule_of(when={"op": op, "attribute": "context.hour", "value": 6})))
    assert [each for each in (5, 6, 7) if prepared.decide(a_request(context={"hour": each})).allowed] == hours


@pytest.mark.parametrize(("kind", "allowed"), [("zone", True), ("feature", True), ("exam", False)])
def test_a_rule_is_about_the_kinds_that_it_names(kind, allowed):
    prepared = PreparedSet(set_of(rule_of(resources=["zone", "feature"])))
    assert prepared.decide(a_request(resource={"kind": kind})).allowed is allowed


def test_a_decision_says_as_of_when_and_on_what_it_was_made():
    asked = msgspec.structs.replace(a_request(), versions={"user-1": 7})
    answer = PreparedSet(set_of(PERMIT, position=42)).decide(asked)
    assert (answer.position, answer.since, answer.versions) == (42, None, {"user-1": 7})


def test_a_decision_is_audited_where_a_rule_that_decided_says_so():
    audited = rule_of(audited=True, roles=["sys_admin"])
    prepared = PreparedSet(set_of(PERMIT, audited))
    assert not prepared.decide(a_request()).audited
    assert prepared.decide(a_request(principal={"roles": ["student", "sys_admin"]})).audited


def test_a_forbid_that_cannot_be_evaluated_denies_though_cedar_passes_it_over(monkeypatch):
    said = engine.cedar_text

    def careless(policy_id, rule):
        return said(policy_id, rule).replace("principal.roles.containsAny", "principal.nothing.containsAny")

    monkeypatch.setattr(engine, "cedar_text", careless)
    prepared = PreparedSet(set_of(PERMIT, rule_of(effect="forbid", roles=["student"])))

    answer = prepared.decide(a_request())

    assert (answer.allowed, answer.reason) == (False, "unevaluable")


def test_a_text_that_the_engine_does_not_take_is_a_fault_of_ours():
    with pytest.raises(EngineRefused):
        parsed("permit (principal")


def test_a_set_is_prepared_once_for_its_position():
    sets = PreparedSets()
    first = sets.of(set_of(PERMIT, position=1))
    assert sets.of(set_of(PERMIT, position=1)) is first
    assert sets.of(set_of(PERMIT, position=2)) is not first


def test_the_sets_not_asked_for_longest_make_room():
    sets = PreparedSets(size=2)
    one, two = (sets.of(set_of(PERMIT, position=each)) for each in (1, 2))
    assert sets.of(set_of(PERMIT, position=1)) is one
    sets.of(set_of(PERMIT, position=3))
    assert sets.of(set_of(PERMIT, position=1)) is one
    assert sets.of(set_of(PERMIT, position=2)) is not two


def test_the_engine_is_loaded_when_the_first_set_is_prepared():
    program = "import infra.policies.engine, infra.policies.founding, sys; sys.exit('cedarpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
