"""What Cedar decides is what the rules say, as a plain interpreter reads them."""

import cedarpy
import msgspec
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from domain.policies.cedar import cedar_text, literal
from domain.policies.checking import faults_in_rule, read_rule
from domain.policies.rule import canonical, covers, parse
from infra.policies.engine import PreparedSet
from tests.support.policies import POLICY, applies, decided, policy_sets, requests, rules, set_of


@settings(max_examples=400, deadline=None)
@given(policy_sets, requests)
def test_cedar_decides_as_the_rules_say(policy_set, request_):
    allowed, decided_by = decided(policy_set, request_)
    event(f"allowed={allowed} with reasons={bool(decided_by)}")

    answer = PreparedSet(policy_set).decide(request_)

    assert (answer.allowed, answer.decided_by) == (allowed, decided_by)
    assert answer.reason == ("permitted" if allowed else "forbidden" if decided_by else "no_permit")


@settings(max_examples=200, deadline=None)
@given(rules)
def test_a_random_rule_is_a_rule_that_can_be_used_and_is_read_as_it_was_written(rule):
    assert faults_in_rule(rule) == []
    assert read_rule(canonical(rule)) == rule
    assert canonical(parse(canonical(rule))) == canonical(rule)
    assert cedar_text(POLICY, rule) == cedar_text(POLICY, parse(canonical(rule)))


@settings(max_examples=300, deadline=None)
@given(rules, rules, requests, st.booleans())
def test_a_rule_that_covers_another_applies_wherever_that_one_does(wide, other, request_, alike):
    narrow = msgspec.structs.replace(
        other, effect=wide.effect, actions=wide.actions[:1], when=wide.when if alike else other.when
    )
    covering = covers(wide, narrow)
    event(f"covers={covering}")

    assert not covering or applies(wide, request_) or not applies(narrow, request_)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@example('") || true || ("')
@example("\\")
@example('\\"')
@example("\n\r\t\0\x7f\u2028")
@example("\U0001f600한")
@example("*")
def test_no_text_gets_out_of_its_literal(text):
    compared = f"permit (principal, action, resource) when {{ context.said == {literal(text)} }};"

    asked = {"principal": 'P::"p"', "action": 'A::"a"', "resource": 'R::"r"', "context": {"said": text}}
    assert cedarpy.is_authorized(asked, compared, []).allowed
    assert not cedarpy.is_authorized({**asked, "context": {"said": text + "x"}}, compared, []).allowed
    assert len(cedarpy.PolicySet.from_str(compared)) == 1


@settings(max_examples=20, deadline=None)
@given(requests, st.integers(0, 2**40))
def test_an_empty_set_denies_all(request_, position):
    answer = PreparedSet(set_of(position=position)).decide(request_)

    assert (answer.allowed, answer.reason, answer.position) == (False, "no_permit", position)
