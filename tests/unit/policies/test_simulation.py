"""Which decisions a proposal would turn round."""

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.policies.events import Flips
from infra.policies.founding import founding_set
from infra.policies.simulation import flips, with_proposal
from tests.support.policies import POLICY, a_request, decided, policy_sets, requests, rule_of, rules, set_of

CLOSED_AT_NIGHT = rule_of(
    effect="forbid", id="closed", when={"op": "<", "attribute": "context.hour", "value": 6}
)
NIGHT, DAY = ({"hour": each} for each in (3, 12))
TEACHER = {"roles": ["tutor", "teacher"]}


def once(asked):
    return [(each, 1) for each in asked]


def test_what_was_allowed_and_would_be_denied_is_counted_by_role_zone_and_rule():
    asked = [
        a_request(context=NIGHT),
        a_request(context=DAY),
        a_request(context=NIGHT, principal=TEACHER),
        a_request(context=NIGHT),
    ]
    then = with_proposal(founding_set(), POLICY, CLOSED_AT_NIGHT, None)
    assert flips(founding_set(), then, once(asked)) == (
        4,
        (
            Flips(role="student", zone="univprep", decided_by=POLICY, now="deny", count=2),
            Flips(role="teacher+tutor", zone="univprep", decided_by=POLICY, now="deny", count=1),
        ),
    )


def test_the_end_of_a_forbid_lets_in_whom_it_kept_out():
    in_force = with_proposal(founding_set(), POLICY, CLOSED_AT_NIGHT, None)
    then = with_proposal(in_force, "policy-2", None, POLICY)
    _, [flip] = flips(in_force, then, once([a_request(context=NIGHT)]))
    permits = next(each for each in founding_set().rules if each.rule.id == "service-in-ones-own-zone")
    assert (flip.now, flip.decided_by) == ("allow", permits.policy_id)


def test_where_nothing_permits_it_any_more_no_rule_is_named():
    in_force = set_of(rule_of())
    then = with_proposal(in_force, POLICY, None, in_force.rules[0].policy_id)
    _, [flip] = flips(in_force, then, once([a_request()]))
    assert (flip.now, flip.decided_by) == ("deny", None)


def test_a_proposal_that_changes_nothing_turns_nothing_round():
    then = with_proposal(founding_set(), POLICY, rule_of(effect="permit"), None)
    assert flips(founding_set(), then, once([a_request()])) == (1, ())


def test_what_was_counted_weighs_as_often_as_it_was_made():
    then = with_proposal(founding_set(), POLICY, CLOSED_AT_NIGHT, None)
    decisions, [flip] = flips(
        founding_set(), then, [(a_request(context=NIGHT), 40), (a_request(context=DAY), 2)]
    )
    assert (decisions, flip.count) == (42, 40)


@settings(max_examples=50, deadline=None)
@given(policy_sets, rules, st.lists(requests, max_size=5))
def test_flips_are_what_the_rules_themselves_say(in_force, rule, asked):
    then = with_proposal(in_force, POLICY, rule, in_force.rules[0].policy_id if in_force.rules else None)

    count, found = flips(in_force, then, once(asked))

    turned = [
        decided(then, each)[0] for each in asked if decided(then, each)[0] != decided(in_force, each)[0]
    ]
    assert count == len(asked)
    told = {now: sum(each.count for each in found if each.now == now) for now in ("allow", "deny")}
    assert told == {"allow": turned.count(True), "deny": turned.count(False)}
