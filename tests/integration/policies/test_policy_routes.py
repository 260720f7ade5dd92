"""Policies over HTTP: four eyes, and nothing that a person without the right can do."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from commands.policies import found_policies
from domain.users.account import GrantedRole
from infra.http.consistency import ConsistencyToken
from infra.policies.founding import founding_rules
from tests.support.api import bootstrap_context, eventually, refusal, running_api
from tests.support.exam_parts import uuid7
from tests.support.policies import a_rule
from tests.support.postgres import fresh_database, run_folder

NOBODYS = f"policy-{uuid7(0xFF)}"
NEVER = {"op": "==", "attribute": "principal.id", "value": ""}
PREMIUM = {"action": "use_premium_feature", "resource": {"kind": "feature", "id": "reports"}}
# About what nobody does in these tests: the wall of policies stands here too.
FORBID = a_rule(
    effect="forbid",
    actions=["export_personal_data"],
    when={"op": "<", "attribute": "context.hour", "value": 6},
)


@pytest.fixture(scope="module")
def api(postgres_server):
    with (
        run_folder("policies") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, role="all") as running,
    ):
        yield running


@pytest.fixture(scope="module")
def ann(api):
    return api.person(GrantedRole("sys_admin", None)).http


@pytest.fixture(scope="module")
def bob(api):
    return api.person(GrantedRole("sys_admin", None)).http


def proposed(http, rule=FORBID, **said):
    answer = http.post("/policies", json={"rule": rule, "reason": "because", **said})
    assert answer.status_code == 201, answer.text
    return answer.json()


def approve(http, state):
    body = {"proposal_sha256": state["proposal_sha256"], "reason": "good"}
    return http.post(f"/policies/{state['policy_id']}/approve", json=body)


def activate(http, state, **said):
    return http.post(f"/policies/{state['policy_id']}/activate", json=said)


def active(ann, bob, rule=FORBID, **said):
    state = proposed(ann, rule, **said)
    assert approve(bob, state).status_code == 200
    assert activate(bob, state).status_code == 200
    return state["policy_id"]


@pytest.fixture(scope="module")
def shown(api):
    """A policy as the read model has it, once that includes all that the log holds of it."""

    def asked(http, policy_id):
        token = ConsistencyToken(policy_id, len(api.events(policy_id))).encode()
        answer = http.get(f"/policies/{policy_id}", headers={"Consistency-Token": token})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return asked


def test_a_policy_is_proposed_by_one_approved_by_another_and_then_active(ann, bob, shown):
    state = proposed(ann)
    assert (state["status"], state["widens"], state["simulated"]) == ("proposed", False, False)
    assert shown(bob, state["policy_id"])["rule"] == FORBID

    assert approve(bob, state).json()["status"] == "approved"
    assert activate(ann, state).json()["status"] == "active"

    details = shown(ann, state["policy_id"])
    assert details["active_from"] is None
    assert details["cedar"].startswith(f'@id("{state["policy_id"]}")')


def test_nobody_approves_their_own(ann):
    assert refusal(approve(ann, proposed(ann))) == (403, "approved-by-its-proposer")


def test_a_permit_waits_for_its_simulation(api, ann, bob, shown):
    api.school().student().http.post("/access/decisions", json={"requests": [PREMIUM]})
    granting = a_rule(id="premium-for-all", actions=["use_premium_feature"])
    ends = a_rule(effect="forbid", actions=["use_premium_feature"], when=NEVER)
    premium = next(each.policy_id for each in founding_rules() if "premium" in each.rule.id)
    state = proposed(ann, granting)
    assert state["widens"]
    assert refusal(approve(bob, state)) == (409, "policy-not-simulated")

    answer = ann.post(f"/policies/{state['policy_id']}/simulations", json={})
    assert answer.status_code == 200, answer.text
    assert answer.json()["simulated"]
    assert answer.json()["flips"] == []  # the forbid stands: this permit alone opens nothing

    found(api)
    widening = proposed(ann, ends, replaces=premium)

    def flipped():
        answer = ann.post(f"/policies/{widening['policy_id']}/simulations", json={})
        return answer.json()["flips"]

    [flip] = eventually(flipped)
    assert (flip["role"], flip["zone"], flip["now"]) == ("student", "univprep", "allow")
    assert flip["count"] == 1
    assert shown(ann, widening["policy_id"])["simulation"]["flips"] == [flip]
    assert approve(bob, state).status_code == 200


def found(api):
    for each in api.run(found_policies(api.write, bootstrap_context(), founding_rules())):
        api.run(api.services.access_rules.policies.include(each.stream_id, each.version))


@pytest.mark.parametrize(
    "period",
    [
        {"since": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"},
        {"since": "2020-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"},
    ],
    ids=["backwards", "long"],
)
def test_a_simulation_is_over_a_period_that_there_is(ann, period):
    state = proposed(ann)
    answer = ann.post(f"/policies/{state['policy_id']}/simulations", json=period)
    assert refusal(answer) == (422, "no-such-period")


def test_the_queue_shows_what_others_proposed_and_who_had_a_hand_in_it_does_not_see_it(ann, bob, shown):
    state = proposed(ann)
    shown(ann, state["policy_id"])

    def queue(http):
        return [each["policy_id"] for each in every_page(http, "/policies/queue")]

    assert state["policy_id"] in queue(bob)
    assert state["policy_id"] not in queue(ann)
    bob.put(f"/policies/{state['policy_id']}/proposal", json={"rule": a_rule(), "reason": "mine"})
    shown(ann, state["policy_id"])
    assert state["policy_id"] not in queue(bob)


def test_the_list_shows_every_policy_and_those_of_a_status(ann, bob, shown):
    policy_id = active(ann, bob)
    shown(ann, policy_id)
    [listed] = [each for each in every_page(ann, "/policies") if each["policy_id"] == policy_id]
    assert (listed["status"], listed["rule_id"], listed["effect"]) == ("active", "a-rule", "forbid")
    assert policy_id in {each["policy_id"] for each in every_page(ann, "/policies?status=active")}
    assert policy_id not in {each["policy_id"] for each in every_page(ann, "/policies?status=proposed")}


def every_page(http, path):
    items, cursor = [], {}
    while cursor is not None:
        answer = http.get(path, params={**httpx.URL(path).params, "limit": 3, **cursor})
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        cursor = answer.json()["next_cursor"] and {"cursor": answer.json()["next_cursor"]}
    return items


def test_what_was_changed_since_it_was_looked_at_is_not_approved(ann, bob):
    state = proposed(ann)
    changed = {"rule": {**FORBID, "roles": ["student"]}, "reason": "students alone"}
    revised = ann.put(f"/policies/{state['policy_id']}/proposal", json=changed)
    assert revised.status_code == 200
    assert refusal(approve(bob, state)) == (409, "proposal-changed")
    assert approve(bob, revised.json()).status_code == 200


def test_a_revision_on_top_of_somebody_elses_is_refused(ann, bob):
    state = proposed(ann)
    answer = bob.put(
        f"/policies/{state['policy_id']}/proposal",
        json={"rule": a_rule(), "reason": "r"},
        headers={"If-Match": '"1"'},
    )
    assert refusal(answer) == (412, "stale-version")


def test_each_fault_of_a_rule_is_pointed_at_in_the_body(ann):
    faulty = a_rule(title={"ko": "규칙"}, when={"op": "exists", "attribute": "principal.zoen"})
    answer = ann.post("/policies", json={"rule": faulty, "reason": "r"})
    assert refusal(answer) == (422, "unusable-policy")
    found = [(each["pointer"], each["code"]) for each in answer.json()["errors"]]
    assert found == [("#/rule/title/en", "no-words"), ("#/rule/when/attribute", "unknown-attribute")]


@pytest.mark.parametrize(
    "rule",
    [
        "{}",
        '{"id": "\\ud800"}',
        '{"when": ' + '{"op": "not", "of": ' * 150 + "1" + "}" * 151,
        '{"when": ' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"id": 1e999}',
        '{"id": "a\\u0000b"}',
        f'{{"id": "{"a" * 70_000}"}}',
    ],
    ids=["empty", "surrogate", "deep", "deeper", "infinite", "nul", "long"],
)
def test_what_is_no_rule_is_refused_and_nothing_breaks(ann, rule):
    answer = ann.post(
        "/policies",
        content=f'{{"reason": "r", "rule": {rule}}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in {400, 413, 422}, answer.text


def test_a_policy_takes_the_place_of_another(ann, bob, shown):
    old = active(ann, bob)
    new = active(ann, bob, a_rule(effect="forbid", actions=["export_personal_data"]), replaces=old)
    assert shown(ann, old)["status"] == "superseded"
    assert shown(ann, new)["replaces"] == old
    again = ann.post("/policies", json={"rule": FORBID, "replaces": old, "reason": "r"})
    assert refusal(again) == (409, "policy-not-active")


def test_an_active_forbid_is_not_withdrawn_and_a_proposal_is(ann, bob):
    body = {"reason": "no longer needed"}
    answer = ann.post(f"/policies/{active(ann, bob)}/withdraw", json=body)
    assert refusal(answer) == (409, "removal-needs-proposal")
    answer = bob.post(f"/policies/{proposed(ann)['policy_id']}/withdraw", json=body)
    assert answer.json()["status"] == "withdrawn"


def test_the_end_of_a_forbid_is_a_proposal_without_a_rule(ann, bob, shown):
    old = active(ann, bob)
    state = ann.post("/policies", json={"replaces": old, "reason": "r"}).json()
    assert state["widens"]
    assert shown(ann, state["policy_id"])["rule"] is None
    assert refusal(ann.post("/policies", json={"reason": "r"})) == (422, "unusable-policy")


def test_a_policy_comes_into_force_now_or_later(ann, bob, shown):
    state = proposed(ann)
    approve(bob, state)
    past = datetime.now(UTC) - timedelta(hours=1)
    assert refusal(activate(ann, state, active_from=past.isoformat())) == (422, "activation-in-the-past")
    later = datetime.now(UTC) + timedelta(hours=1)
    assert activate(ann, state, active_from=later.isoformat()).status_code == 200
    assert datetime.fromisoformat(shown(ann, state["policy_id"])["active_from"]) == later


def test_a_proposal_that_is_sent_again_under_its_key_is_made_once(ann):
    body = {"rule": FORBID, "reason": "because"}
    key = {"Idempotency-Key": uuid7(0xAB)}
    first, second = (ann.post("/policies", json=body, headers=key).json() for _ in range(2))
    assert first == second


ROUTES = [
    ("POST", "/policies", {"rule": FORBID, "reason": "r"}),
    ("GET", f"/policies/{NOBODYS}", None),
    ("GET", "/policies", None),
    ("GET", "/policies/queue", None),
    ("POST", f"/policies/{NOBODYS}/simulations", {}),
    ("PUT", f"/policies/{NOBODYS}/proposal", {"rule": FORBID, "reason": "r"}),
    ("POST", f"/policies/{NOBODYS}/approve", {"proposal_sha256": "a" * 64, "reason": "r"}),
    ("POST", f"/policies/{NOBODYS}/activate", {}),
    ("POST", f"/policies/{NOBODYS}/withdraw", {"reason": "r"}),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_policies_are_for_system_administrators_alone(api, ann, method, path, body):
    school = api.school()
    bounded = api.person(GrantedRole("sys_admin", school.org_id), org_id=school.org_id)
    for person in (school.teacher, school.admin(), bounded, api.person(GrantedRole("zone_admin", None))):
        assert refusal(person.http.request(method, path, json=body)) == (403, "role-required")
    assert refusal(api.client().request(method, path, json=body))[0] == 401
    answer = ann.request(method, path, json=body)
    if NOBODYS in path:
        assert refusal(answer) == (404, "policy-not-found")
    else:
        assert answer.status_code == (200 if method == "GET" else 201)


@pytest.mark.parametrize(
    "policy_id", ["policy-1", "exam-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f", "'; DROP TABLE--"]
)
def test_what_is_no_policy_id_names_nothing(ann, policy_id):
    assert refusal(ann.get(f"/policies/{policy_id}"))[0] == 404


def test_a_proposal_takes_nothing_that_it_does_not_know(ann):
    body = {"rule": FORBID, "reason": "r", "status": "active", "proposed_by": "user-1"}
    assert refusal(
        ann.post("/policies", content=json.dumps(body), headers={"Content-Type": "application/json"})
    ) == (
        422,
        "invalid-request",
    )
