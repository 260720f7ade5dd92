"""What happens to signed-in people when their account changes: it ends, or its roles become others."""

import pytest

from commands.kinds import USER
from domain.users import account as accounts
from domain.users.account import GrantedRole
from infra.auth.revocations import Revocations
from infra.http.principal import Principal
from tests.support.accounts import opens, refresh, registered, sign_in, tokens
from tests.support.api import bearer, bootstrap_context, eventually, refusal

# A second, and what a busy machine adds: how often processes look is tested by itself.
WITHIN_A_SECOND = {"within_s": 5.0, "every_s": 0.02}


@pytest.fixture
def account(api):
    return registered(api)


def decide(api, user_id, decision):
    """One more fact of an account; returns the version that it made."""
    return api.run(api.write.streams.execute(bootstrap_context(), USER, user_id, decision)).version


def roles_in(api, access_token):
    return {(grant.role, grant.org_id) for grant in api.services.token_verifier.verify(access_token).roles}


def deactivate(person, user_id, reason="left the school", **request):
    return person.http.post(f"/users/{user_id}/deactivation", json={"reason": reason}, **request)


# -- deactivation ------------------------------------------------------------------------------------------


def test_a_deactivated_account_opens_nothing_from_that_moment_on(api, elsewhere, account):
    given = [tokens(api, account), tokens(elsewhere, account)]
    admin = api.person(GrantedRole("sys_admin"))
    answer = deactivate(admin, account.user_id)
    assert answer.status_code == 204
    assert answer.headers["Consistency-Token"]
    for each in given:
        assert not opens(api, each["access_token"])
        assert refresh(api, each["refresh_token"]).status_code == 401
        assert refresh(elsewhere, each["refresh_token"]).status_code == 401
        eventually(lambda each=each: not opens(elsewhere, each["access_token"]), **WITHIN_A_SECOND)
    for process in (api, elsewhere):
        assert refusal(sign_in(process, account)) == (401, "sign-in-refused")


def test_a_token_that_a_service_was_given_for_an_examinee_ends_with_the_account(api):
    school = api.school()
    exam, student = school.exam(), school.student()
    _, service = school.service()
    answer = service.http.post(f"/exams/{exam.exam_id}/attempts", json={"examinee_id": student.user_id})
    started = answer.json()
    attempt, path = api.client(started["attempt_token"]), f"/attempts/{started['attempt_id']}"
    written = {"Consistency-Token": answer.headers["Consistency-Token"]}
    assert attempt.get(path, headers=written).status_code == 200
    assert deactivate(school.admin(), student.user_id).status_code == 204
    assert refusal(attempt.get(path, headers=written)) == (401, "invalid-token")


def test_an_administrator_deactivates_the_people_of_their_own_organisation_only(api):
    school, other = api.school(), api.school()
    student = school.student()
    assert refusal(deactivate(other.admin(), student.user_id)) == (404, "user-not-found")
    assert refusal(deactivate(school.teacher, student.user_id)) == (403, "role-required")
    assert api.client(student.token).get("/auth/sessions").status_code == 200
    assert deactivate(school.admin(), student.user_id).status_code == 204
    assert not opens(api, student.token)


def test_deactivating_somebody_who_does_not_exist_or_twice(api, account):
    admin = api.person(GrantedRole("sys_admin"))
    nobody = "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
    for each in (nobody, "user-x", "%00", "client-x"):
        assert refusal(deactivate(admin, each)) == (404, "user-not-found")
    assert deactivate(admin, account.user_id).status_code == 204
    assert deactivate(admin, account.user_id, "again").status_code == 204
    assert [type(each).__name__ for each in api.events(account.user_id)].count("UserDeactivated") == 1


def test_the_reason_of_a_deactivation_is_a_personal_value_of_that_person(api, account):
    deactivate(api.person(GrantedRole("sys_admin")), account.user_id, "moved to Busan")
    assert ("reason",) in api.recorded(account.user_id)[-1].event.type_.personal


# -- roles of now ------------------------------------------------------------------------------------------


def test_the_next_refresh_shows_a_role_that_was_granted(api, account):
    given = tokens(api, account)
    assert roles_in(api, given["access_token"]) == {("student", None)}
    school = api.school()
    decide(
        api,
        account.user_id,
        lambda state: accounts.grant_role(state, "teacher", school.org_id, api.clock()),
    )
    again = refresh(api, given["refresh_token"]).json()
    assert roles_in(api, again["access_token"]) == {("student", None), ("teacher", school.org_id)}
    made = api.client(again["access_token"]).post("/item-banks", json={"name": "Bank"})
    assert made.status_code == 201


def test_the_next_refresh_and_the_next_sign_in_lack_a_role_that_was_taken_away(api, elsewhere):
    school = api.school()
    given = tokens(api, school.teacher)
    decide(
        api,
        school.teacher.user_id,
        lambda state: accounts.take_role_away(state, "teacher", school.org_id, "removed"),
    )
    for process, found in (
        (elsewhere, refresh(elsewhere, given["refresh_token"]).json()),
        (api, tokens(api, school.teacher)),
    ):
        assert roles_in(process, found["access_token"]) == set()
        answer = process.client(found["access_token"]).post("/item-banks", json={"name": "Bank"})
        assert answer.status_code == 403


def test_tokens_of_earlier_roles_are_refused_and_the_sign_in_goes_on(api, elsewhere):
    school = api.school()
    given = tokens(api, school.teacher)
    version = decide(
        api,
        school.teacher.user_id,
        lambda state: accounts.take_role_away(state, "teacher", school.org_id, "removed"),
    )
    assert opens(elsewhere, given["access_token"])
    api.run(api.services.sign_in.revocations.end_older(school.teacher.user_id, version))
    refused = api.client().get("/auth/sessions", headers=bearer(given["access_token"]))
    assert refusal(refused) == (401, "invalid-token")
    eventually(lambda: not opens(elsewhere, given["access_token"]), **WITHIN_A_SECOND)
    again = refresh(elsewhere, given["refresh_token"])
    assert again.status_code == 200
    for process in (api, elsewhere):
        assert opens(process, again.json()["access_token"])


@pytest.mark.parametrize("in_other_order", [False, True])
def test_an_account_that_ended_is_not_opened_again_by_a_role_that_changed(api, account, in_other_order):
    revocations = api.services.sign_in.revocations

    def end():
        api.run(revocations.end([account.user_id]))

    def end_older():
        api.run(revocations.end_older(account.user_id, 3))

    for step in (end_older, end) if in_other_order else (end, end_older):
        step()
    begun_later = Revocations(api.services.writer_pool, clock=api.clock)
    api.run(begun_later.refresh(whole=True))
    holder = Principal(account.user_id, "univprep", (), "session", account_version=99)
    assert begun_later.ends(holder)
    assert revocations.ends(holder)


def test_ended_sessions_are_remembered_until_their_last_token_has_expired_and_no_longer(own_api):
    revocations = own_api.services.sign_in.revocations
    holder = Principal("user-x", "univprep", (), "session-x", account_version=1)
    own_api.run(revocations.end(["session-x"]))
    own_api.run(revocations.end_older("user-x", 2))
    own_api.clock.advance(86_400)
    own_api.run(own_api.services.sign_in.sweep(own_api.clock()))
    own_api.run(revocations.refresh(whole=True))
    assert revocations.ends(holder)
    own_api.clock.advance(3_601)
    own_api.run(own_api.services.sign_in.sweep(own_api.clock()))
    own_api.run(revocations.refresh(whole=True))
    assert not revocations.ends(holder)
    assert own_api.query("SELECT count(*) FROM ops.revocations") == [(0,)]
