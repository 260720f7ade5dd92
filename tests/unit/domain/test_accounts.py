"""A user account: what is decided on it, given what happened to it."""

import pytest

from commands.kinds import USER
from domain.exams.events import ResultsReleased
from domain.users.account import (
    AlreadyRegistered,
    GrantedRole,
    Registered,
    Unregistered,
    UserNotFound,
    change_profile,
    evolve,
    register,
)
from domain.users.events import ProfileChanged, RoleGranted, RoleLapsed, UserRegistered
from tests.support.exam_parts import OTHER_SCHOOL, SCHOOL
from tests.support.given import fold, given

REGISTERED = UserRegistered(
    origin="self",
    zone_id="univprep",
    display_name="민지",
    language="ko",
    email="minji@example.org",
    email_hash="ab12",
    credential_id="c1",
    org_id=SCHOOL,
)


def test_whoever_registers_gets_an_account_and_the_roles_that_come_with_it():
    roles = [GrantedRole("student"), GrantedRole("teacher", SCHOOL)]

    given(USER).when(register, REGISTERED, roles).then(
        REGISTERED, RoleGranted(role="student"), RoleGranted(role="teacher", org_id=SCHOOL)
    )


def test_an_account_can_be_opened_without_any_role():
    given(USER).when(register, REGISTERED, []).then(REGISTERED)


def test_an_account_is_opened_only_once():
    given(USER, REGISTERED).when(register, REGISTERED, []).then_refused(AlreadyRegistered)


def test_the_state_holds_what_was_registered_and_every_role_that_was_granted():
    granted = (RoleGranted(role="student"), RoleGranted(role="teacher", org_id=SCHOOL))

    assert fold(USER, (REGISTERED, *granted)) == Registered(
        zone_id="univprep",
        display_name="민지",
        language="ko",
        email="minji@example.org",
        credential_id="c1",
        org_id=SCHOOL,
        roles=(GrantedRole("student"), GrantedRole("teacher", SCHOOL)),
    )


@pytest.mark.parametrize(
    ("name", "language", "changed"),
    [
        ("서연", "en", ProfileChanged(display_name="서연", language="en")),
        ("서연", None, ProfileChanged(display_name="서연", language="ko")),
        (None, "ja", ProfileChanged(display_name="민지", language="ja")),
    ],
)
def test_a_changed_profile_is_told_as_a_whole_and_what_was_not_named_stays(name, language, changed):
    after = given(USER, REGISTERED).when(change_profile, name, language).then(changed)

    assert (after.state.display_name, after.state.language) == (changed.display_name, changed.language)
    assert after.state.email == "minji@example.org"


@pytest.mark.parametrize(("name", "language"), [(None, None), ("민지", None), (None, "ko"), ("민지", "ko")])
def test_a_profile_that_stays_as_it_is_is_no_event(name, language):
    given(USER, REGISTERED).when(change_profile, name, language).then_nothing()


def test_the_last_change_counts_when_the_next_one_is_compared():
    changed = ProfileChanged(display_name="서연", language="en")

    given(USER, REGISTERED, changed).when(change_profile, "서연", "en").then_nothing()
    given(USER, REGISTERED, changed).when(change_profile, "민지", None).then(
        ProfileChanged(display_name="민지", language="en")
    )


def test_nobody_has_no_profile():
    given(USER).when(change_profile, "민지", None).then_refused(UserNotFound)


@pytest.mark.parametrize("state", [Unregistered(), fold(USER, (REGISTERED,))])
def test_facts_of_something_else_leave_an_account_as_it_is(state):
    assert evolve(state, ResultsReleased()) is state


@pytest.mark.parametrize(
    "fact", [ProfileChanged(display_name="누구", language="ko"), RoleGranted(role="sys_admin")]
)
def test_no_change_or_role_makes_an_account_of_nothing(fact):
    assert fold(USER, (fact,)) == Unregistered()


def test_who_enrolled_somebody_knows_them_for_good_and_has_them_as_a_member_by_a_role_alone():
    member = (
        REGISTERED,
        RoleGranted(role="student", org_id=SCHOOL),
        RoleGranted(role="tutor", org_id=OTHER_SCHOOL),
    )
    gone = (*member, RoleLapsed(role="student", org_id=SCHOOL, reason="removed"))

    assert fold(USER, member).org_ids == {SCHOOL, OTHER_SCHOOL}
    assert fold(USER, gone).org_ids == {OTHER_SCHOOL}
    assert fold(USER, gone).known_to == {SCHOOL, OTHER_SCHOOL}
