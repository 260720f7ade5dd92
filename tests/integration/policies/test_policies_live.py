"""Rules in force, in two processes over one database: what is ordered of one bites in the other."""

import time
from contextlib import ExitStack
from datetime import timedelta

import msgspec
import pytest

from commands.policies import found_policies
from domain.users.account import GrantedRole
from infra.policies.founding import founding_rules
from infra.policies.live import PoliciesBehind, PoliciesUnreadable
from tests.support.api import Clock, bootstrap_context, eventually, refusal, running_api
from tests.support.policies import a_request, a_rule
from tests.support.postgres import fresh_database, run_folder

ENTERING = next(each.policy_id for each in founding_rules() if each.rule.id == "service-in-ones-own-zone")
CLOSED = a_rule(effect="forbid", id="closed-for-repairs")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def processes(postgres_server, clock):
    """One that sequences and answers, and one that only answers."""
    with ExitStack() as stack:
        conninfo = stack.enter_context(fresh_database(postgres_server))
        folder = stack.enter_context(run_folder("policies-live"))
        whole = stack.enter_context(running_api(conninfo, folder, role="all", clock=clock))
        other = stack.enter_context(running_api(conninfo, folder, role="api", clock=clock))
        yield whole, other


def decided(api, request=None):
    async def ask():
        return api.services.access_rules.policies.decide(request or a_request())

    return api.run(ask())


def found(api):
    outcomes = api.run(found_policies(api.write, bootstrap_context(), founding_rules()))
    for each in outcomes:
        api.run(api.services.access_rules.policies.include(each.stream_id, each.version))


def active(api, rule, **said):
    """The id of a policy that two administrators brought into force through this process."""
    ann, bob = (api.person(GrantedRole("sys_admin", None)).http for _ in range(2))
    state = ann.post("/policies", json={"rule": rule, "reason": "because"}).json()
    body = {"proposal_sha256": state["proposal_sha256"], "reason": "good"}
    assert bob.post(f"/policies/{state['policy_id']}/approve", json=body).status_code == 200
    answer = bob.post(f"/policies/{state['policy_id']}/activate", json=said)
    assert answer.status_code == 200, answer.text
    return state["policy_id"]


def test_a_log_in_which_nothing_was_said_about_rules_has_the_founding_ones(processes):
    for api in processes:
        decision = decided(api)
        assert (decision.allowed, decision.decided_by, decision.position) == (True, (ENTERING,), 0)


def test_a_policy_counts_here_before_the_answer_and_everywhere_within_a_second(processes):
    whole, other = processes
    found(whole)
    policy_id = active(whole, CLOSED)
    answered_at = time.monotonic()
    assert decided(whole).decided_by == (policy_id,)
    eventually(lambda: decided(other).decided_by == (policy_id,), every_s=0.01)
    assert time.monotonic() - answered_at < 1.0
    assert decided(other).position == decided(whole).position > 0


def test_the_first_rule_of_ones_own_comes_beside_the_founding_ones_and_not_in_their_place(processes):
    whole, _ = processes
    policy_id = active(whole, a_rule(effect="forbid", id="closed-to-tutors", roles=["tutor"]))
    assert decided(whole).decided_by == (ENTERING,)
    assert decided(whole, a_request(principal={"roles": ["tutor"]})).decided_by == (policy_id,)


def test_a_permit_that_is_withdrawn_through_one_process_is_gone_from_the_other_within_a_second(processes):
    whole, other = processes
    found(whole)
    eventually(lambda: decided(other).position > 0)
    admin = other.person(GrantedRole("sys_admin", None)).http
    answer = admin.post(f"/policies/{ENTERING}/withdraw", json={"reason": "closed"})
    answered_at = time.monotonic()
    assert answer.status_code == 200, answer.text
    assert not decided(other).allowed
    eventually(lambda: not decided(whole).allowed, every_s=0.01)
    assert time.monotonic() - answered_at < 1.0


def test_a_moment_that_was_set_bites_at_that_moment_without_any_news(processes, clock):
    whole, other = processes
    found(whole)
    moment = clock() + timedelta(hours=1)
    policy_id = active(whole, CLOSED, active_from=moment.isoformat())
    position = decided(whole).position
    eventually(lambda: decided(other).position == position)
    assert decided(whole).allowed
    assert decided(other).allowed
    clock.advance(3_600)
    for api in processes:
        decision = decided(api)
        assert (decision.decided_by, decision.since) == ((policy_id,), moment)


def test_without_a_sequencer_an_order_is_recorded_and_said_to_be_not_yet_in_force(postgres_server):
    with (
        fresh_database(postgres_server) as conninfo,
        run_folder("policies-unsequenced") as folder,
        running_api(conninfo, folder, role="api") as api,
    ):
        [first, *_] = api.run(found_policies(api.write, bootstrap_context(), founding_rules()))
        with pytest.raises(PoliciesBehind):
            api.run(api.services.access_rules.policies.include(first.stream_id, first.version, within_s=0.05))


def without_the_event(decode):
    def older_release(stream_id, version, type_, meta, payload):
        return decode(stream_id, version, type_.replace(".v1", ".v2"), meta, payload)

    return older_release


def without_what_the_rule_says(decode):
    def older_release(*stored):
        recorded = decode(*stored)
        rule = recorded.event.proposal.rule.replace('"enter_zone"', '"enter_zone_of_a_later_release"')
        proposal = msgspec.structs.replace(recorded.event.proposal, rule=rule)
        return msgspec.structs.replace(
            recorded, event=msgspec.structs.replace(recorded.event, proposal=proposal)
        )

    return older_release


@pytest.mark.parametrize("older_release", [without_the_event, without_what_the_rule_says])
def test_past_an_event_that_this_release_cannot_read_nothing_is_decided(
    processes, monkeypatch, older_release
):
    whole, other = processes
    live = other.services.access_rules.policies
    before = live._seen_until
    monkeypatch.setattr(live, "_decode", older_release(live._decode))
    found(whole)

    def refused():
        try:
            return decided(other) is None
        except PoliciesUnreadable:
            return True

    eventually(refused)
    assert (live._seen_until, live._versions, live._history.position) == (before, {}, 0)
    assert decided(whole).allowed


def test_two_who_withdraw_the_same_permit_are_told_the_same(processes):
    whole, _ = processes
    found(whole)
    admin = whole.person(GrantedRole("sys_admin", None)).http
    answers = [admin.post(f"/policies/{ENTERING}/withdraw", json={"reason": "closed"}) for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 200]
    assert refusal(admin.post(f"/policies/{ENTERING}/activate", json={})) == (409, "policy-not-approved")


def test_a_decision_is_the_same_for_the_same_set(processes):
    whole, other = processes
    found(whole)
    eventually(lambda: decided(other).position == decided(whole).position)
    assert msgspec.json.encode(decided(other)) == msgspec.json.encode(decided(whole))
