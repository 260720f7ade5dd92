"""The rules that every installation begins with, held against what was asked for."""

import pytest

from domain.identifiers import category_of
from infra.policies.engine import PreparedSet
from infra.policies.founding import founding_rules, founding_set
from tests.support.policies import a_request, decided

PREPARED = PreparedSet(founding_set())
NAMES = {each.policy_id: each.rule.id for each in founding_rules()}


def decision(**said):
    request = a_request(**said)
    found = PREPARED.decide(request)
    assert (found.allowed, found.decided_by) == decided(founding_set(), request)
    return found.allowed, [NAMES[each] for each in found.decided_by]


def tutor(**principal):
    return decision(
        action="use_ai_tutor", principal=principal, resource={"kind": "feature", "id": "ai-tutor"}
    )


def premium(**principal):
    return decision(
        action="use_premium_feature", principal=principal, resource={"kind": "feature", "id": "reports"}
    )


def test_a_student_with_an_active_exam_gets_no_ai_tutor():
    assert tutor(has_active_exam=True) == (False, ["no-tutor-during-an-exam"])
    assert tutor(has_active_exam=False) == (True, ["service-in-ones-own-zone"])


def test_nor_does_one_of_whom_nobody_knows_whether_an_exam_is_under_way():
    assert tutor() == (False, ["no-tutor-during-an-exam"])


def test_another_role_does_not_free_a_student_from_it():
    assert not tutor(has_active_exam=True, roles=["student", "tutor", "sys_admin"])[0]


def test_somebody_who_is_no_student_may_use_it_at_any_time():
    assert tutor(has_active_exam=True, roles=["teacher"])[0]


@pytest.mark.parametrize("status", ["none", "expired", None])
@pytest.mark.parametrize("role", ["student", "parent", "teacher", "sys_admin"])
def test_without_a_paid_subscription_nobody_gets_a_premium_feature(status, role):
    found = premium(subscription_status=status, roles=[role])
    assert found == (False, ["no-premium-without-subscription"])


@pytest.mark.parametrize("status", ["active", "cancelled"])
def test_with_one_they_do_until_it_expires(status):
    assert premium(subscription_status=status)[0]


@pytest.mark.parametrize(
    "role", ["student", "parent", "teacher", "tutor", "org_admin", "zone_admin", "service"]
)
def test_nobody_enters_another_zone_than_their_own(role):
    there = {"id": "kzone", "zone": "kzone"}
    assert decision(principal={"roles": [role]}, resource=there) == (False, ["no-zone-but-ones-own"])
    assert decision(principal={"roles": [role]})[0]


@pytest.mark.parametrize("action", ["take_exam", "view_results"])
def test_what_belongs_to_another_zone_is_closed_whatever_is_done_to_it(action):
    found = decision(action=action, resource={"kind": "exam", "id": "exam-1", "zone": "kzone"})
    assert found == (False, ["no-zone-but-ones-own"])


@pytest.mark.parametrize("role", ["student", "teacher", "org_admin", "service"])
@pytest.mark.parametrize("action", ["take_exam", "view_results"])
def test_exams_of_ones_own_zone_are_open(role, action):
    found = decision(action=action, principal={"roles": [role]}, resource={"kind": "exam", "id": "exam-1"})
    assert found == (True, ["exams-in-ones-own-zone"])


def test_system_administrators_ask_for_results_anywhere_and_take_exams_at_home():
    there = {"kind": "exam", "id": "exam-1", "zone": "kzone"}
    admin = {"roles": ["sys_admin"]}
    found = decision(action="view_results", principal=admin, resource=there)
    assert found == (True, ["system-administrators-see-results"])
    assert PREPARED.decide(a_request(action="view_results", principal=admin, resource=there)).audited
    assert decision(action="take_exam", principal=admin, resource=there) == (False, [])


def test_a_zone_of_which_nothing_is_known_is_closed():
    assert not decision(resource={"zone": None})[0]
    assert not decision(principal={"zone": None})[0]


def test_a_system_administrator_enters_another_zone_and_that_is_audited():
    request = a_request(principal={"roles": ["sys_admin"]}, resource={"id": "kzone", "zone": "kzone"})
    found = PREPARED.decide(request)
    assert found.allowed
    assert found.audited
    assert [NAMES[each] for each in found.decided_by] == ["system-administrators-in-other-zones"]


def test_a_system_administrator_in_their_own_zone_uses_no_special_right():
    assert not PREPARED.decide(a_request(principal={"roles": ["sys_admin"]})).audited


def test_founding_policies_have_ids_of_policies_and_stand_in_their_order():
    assert all(category_of(each) == "policy" for each in NAMES)
    assert list(NAMES) == sorted(NAMES)
    assert len(set(NAMES.values())) == len(NAMES)
