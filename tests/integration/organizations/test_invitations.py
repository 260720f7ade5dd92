"""Invitations over HTTP: sent by mail, accepted by whoever reads it, taken back, over in time."""

import psycopg
import pytest

from commands.invitations import MAILS_A_DAY
from commands.reactions.memberships import tend_memberships
from domain.classes.events import ClassClosed, StudentEnrolled
from domain.invitations.events import InvitationAccepted, InvitationExpired, InvitationRevoked, MemberInvited
from domain.users.account import GrantedRole
from domain.users.events import RoleGranted
from infra.http.principal import RoleGrant
from tests.support.api import Clock, bearer, eventually, refusal, running_api
from tests.support.offices import after, an_office, mails_to, somebody, verified
from tests.support.postgres import run_folder

DAY_S = 86_400.0
NO_INVITATION = "invitation-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"


@pytest.fixture
def guest(api):
    """Somebody of the zone with a verified address, who belongs nowhere."""
    return verified(api, somebody(api, GrantedRole("student")))


def accept(person, invitation):
    return person.http.post(f"/invitations/{invitation.json()['invitation_id']}/acceptance")


def test_whoever_is_invited_gets_a_mail_finds_the_invitation_and_becomes_a_member(api, office, guest):
    class_id = office.open_class()
    invited = office.invite(guest.email, "tutor", class_id=class_id, language="en")
    assert invited.status_code == 201
    [mail] = eventually(lambda: mails_to(api, guest.email))
    assert mail["Subject"] == "You are invited to become a member"
    assert "Test school" in mail.get_content()
    assert f"/invitation#token={invited.json()['invitation_id']}" in mail.get_content()

    [found] = guest.http.get("/invitations", headers=after(invited)).json()["invitations"]
    assert found["invitation_id"] == invited.json()["invitation_id"]
    assert (found["organization"], found["role"]) == ("Test school", "tutor")

    accepted = accept(guest, invited)
    assert accepted.status_code == 200
    assert accepted.json() == {"org_id": office.org_id, "role": "tutor", "class_id": class_id}
    granted = api.events(guest.user_id)[-1]
    assert isinstance(granted, RoleGranted)
    assert (granted.role, granted.org_id) == ("tutor", office.org_id)
    now = api.client(api.token(guest.user_id, *_grants(("student", None), ("tutor", office.org_id))))
    seen = now.get(f"{office.url}/classes/{class_id}", headers=after(accepted))
    assert (seen.status_code, seen.json()["teachers"]) == (200, 1)
    assert guest.http.get("/invitations", headers=after(accepted)).json()["invitations"] == []


def _grants(*held):
    return [RoleGrant(role, org_id) for role, org_id in held]


def test_the_answer_is_the_same_whether_or_not_the_address_has_an_account(office, guest):
    known = office.invite(guest.email)
    unknown = office.invite("nobody-at-all@example.org")
    assert known.status_code == unknown.status_code == 201
    same = {name for name in known.json() if name not in {"invitation_id", "expires_at"}}
    assert {name: known.json()[name] for name in same} == {name: unknown.json()[name] for name in same}
    assert set(known.headers) == set(unknown.headers)


def test_an_address_that_nobody_has_is_written_to_as_well(api, office):
    address = f"new-{office.org_id}@example.org"
    office.invite(address, language="ko")
    [mail] = eventually(lambda: mails_to(api, address))
    assert mail["Subject"] == "구성원으로 초대합니다"


def test_the_same_invitation_again_is_the_same_and_sends_nothing(api, office):
    address = f"twice-{office.org_id}@example.org"
    first = office.invite(address)
    eventually(lambda: mails_to(api, address))
    second = office.invite(address.upper())
    assert second.json() == first.json()
    other_role = office.invite(address, "student")
    assert other_role.json()["invitation_id"] != first.json()["invitation_id"]
    eventually(lambda: len(mails_to(api, address)) == 2)
    waiting = api.query(
        "SELECT count(*) FROM ops.outbox WHERE subject_id = %s", first.json()["invitation_id"]
    )
    assert waiting == [(1,)]


def test_of_many_who_invite_the_same_person_at_once_one_invitation_remains(api, office, guest):
    request = {
        "method": "POST",
        "url": f"organizations/{office.org_id}/invitations",
        "json": {"email": guest.email, "role": "student"},
    }
    answers = api.at_once([request] * 8, office.admin.token)
    assert {each.status_code for each in answers} == {201}
    [invitation_id] = {each.json()["invitation_id"] for each in answers}
    assert [type(each) for each in api.events(invitation_id)] == [MemberInvited]


def test_nobody_but_the_reader_of_the_address_can_accept(api, office, guest):
    invited = office.invite(guest.email)
    another = verified(api, somebody(api))
    assert refusal(accept(another, invited)) == (404, "invitation-not-found")
    assert another.http.get("/invitations", headers=after(invited)).json()["invitations"] == []
    assert refusal(api.client().get("/invitations")) == (401, "unauthenticated")
    assert [type(each) for each in api.events(invited.json()["invitation_id"])] == [MemberInvited]


def test_an_address_that_was_only_claimed_opens_nothing(api, office):
    claimed = somebody(api)
    invited = office.invite(claimed.email)
    assert refusal(accept(claimed, invited)) == (403, "email-not-verified")
    assert claimed.http.get("/invitations", headers=after(invited)).json()["invitations"] == []
    verified(api, claimed)
    assert accept(claimed, invited).status_code == 200


def test_somebody_of_another_zone_is_told_why_they_cannot_accept(api, office):
    abroad = verified(api, somebody(api, zone_id="kzone"))
    invited = office.invite(abroad.email)
    assert refusal(accept(abroad, invited)) == (409, "invited-to-other-zone")
    assert RoleGranted not in [type(each) for each in api.events(abroad.user_id)]


@pytest.mark.parametrize("invitation_id", [NO_INVITATION, "x", "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"])
def test_what_is_no_invitation_is_not_found(office, guest, invitation_id):
    answer = guest.http.post(f"/invitations/{invitation_id}/acceptance")
    assert refusal(answer) == (404, "invitation-not-found")
    answer = office.admin.http.delete(f"{office.url}/invitations/{invitation_id}")
    assert refusal(answer) == (404, "invitation-not-found")


def test_accepting_twice_or_at_once_makes_one_member(api, office, guest):
    invited = office.invite(guest.email, "student", class_id=office.open_class())
    url = f"invitations/{invited.json()['invitation_id']}/acceptance"
    answers = api.at_once([{"method": "POST", "url": url}] * 6, guest.token)
    assert {each.status_code for each in answers} == {200}
    granted = [each for each in api.events(guest.user_id) if getattr(each, "org_id", None) == office.org_id]
    assert len(granted) == 1
    events = api.events(invited.json()["invitation_id"])
    assert [type(each) for each in events] == [MemberInvited, InvitationAccepted]
    assert [type(each) for each in api.events(invited.json()["class_id"])][1:] == [StudentEnrolled]


def test_an_invitation_that_was_accepted_makes_nobody_a_member_again(api, office, guest):
    invited = office.invite(guest.email, "student")
    assert accept(guest, invited).status_code == 200
    removed = office.admin.http.delete(f"{office.url}/members/{guest.user_id}")
    assert removed.status_code == 204
    version = api.recorded(guest.user_id)[-1].version
    assert accept(guest, invited).status_code == 200
    assert api.recorded(guest.user_id)[-1].version == version


def test_a_class_that_was_closed_since_takes_nobody_in(api, office, guest):
    class_id = office.open_class()
    invited = office.invite(guest.email, "student", class_id=class_id)
    office.admin.http.post(f"{office.url}/classes/{class_id}/closure", json={"reason": "over"})
    assert accept(guest, invited).status_code == 200
    assert isinstance(api.events(class_id)[-1], ClassClosed)
    assert isinstance(api.events(guest.user_id)[-1], RoleGranted)


def test_an_invitation_is_into_a_class_of_the_organisation_and_for_those_who_are_in_classes(api, office):
    other = an_office(api).open_class()
    assert refusal(office.invite("a@example.org", class_id=other)) == (404, "class-not-found")
    mine = office.open_class()
    answer = office.invite("a@example.org", "org_admin", class_id=mine)
    assert refusal(answer) == (422, "role-has-no-class")
    office.admin.http.post(f"{office.url}/classes/{mine}/closure", json={"reason": "over"})
    assert refusal(office.invite("a@example.org", class_id=mine)) == (409, "class-closed")


@pytest.mark.parametrize("role", ["sys_admin", "zone_admin", "service", "parent"])
def test_nobody_is_invited_to_be_what_no_member_is(office, role):
    assert refusal(office.invite("a@example.org", role)) == (422, "invalid-request")


def test_an_administrator_of_the_zone_invites_administrators_and_nobody_else(api, office):
    keeper = somebody(api, GrantedRole("zone_admin")).http
    url = f"{office.url}/invitations"
    invited = keeper.post(url, json={"email": "head@example.org", "role": "org_admin"})
    assert invited.status_code == 201
    teacher = keeper.post(url, json={"email": "head@example.org", "role": "teacher"})
    assert refusal(teacher) == (403, "role-not-yours-to-change")
    by_office = office.invite("guest@example.org")
    assert refusal(keeper.delete(f"{url}/{by_office.json()['invitation_id']}"))[0] == 404
    assert keeper.delete(f"{url}/{invited.json()['invitation_id']}").status_code == 204
    elsewhere = somebody(api, GrantedRole("zone_admin"), zone_id="kzone").http
    answer = elsewhere.post(url, json={"email": "head@example.org", "role": "org_admin"})
    assert refusal(answer) == (404, "organization-not-found")


def test_an_invitation_that_was_taken_back_opens_nothing_and_may_be_made_anew(api, office, guest):
    invited = office.invite(guest.email)
    url = f"{office.url}/invitations/{invited.json()['invitation_id']}"
    other = an_office(api)
    stolen = other.admin.http.delete(f"{other.url}/invitations/{invited.json()['invitation_id']}")
    assert refusal(stolen) == (404, "invitation-not-found")
    assert office.admin.http.delete(url).status_code == 204
    assert office.admin.http.delete(url).status_code == 204
    assert refusal(accept(guest, invited)) == (409, "invitation-over")
    anew = office.invite(guest.email)
    assert anew.json()["invitation_id"] == invited.json()["invitation_id"]
    assert accept(guest, invited).status_code == 200
    events = [type(each) for each in api.events(invited.json()["invitation_id"])]
    assert events == [MemberInvited, InvitationRevoked, MemberInvited, InvitationAccepted]
    assert refusal(office.admin.http.delete(url)) == (409, "invitation-over")


@pytest.mark.parametrize("how", ["revoked", "accepted"])
def test_a_request_whose_answer_was_lost_is_answered_although_the_invitation_is_over(
    api, office, guest, how, monkeypatch
):
    asked = {"json": {"email": guest.email, "role": "teacher"}, "headers": {"Idempotency-Key": f"lost-{how}"}}
    url = f"{office.url}/invitations"

    async def lost(*_):
        raise psycopg.OperationalError("the process was killed here")

    with monkeypatch.context() as patched:
        patched.setattr(api.services.idempotency, "complete", lost)
        first = office.admin.http.post(url, **asked)
    assert first.status_code == 201
    if how == "accepted":
        assert accept(guest, first).status_code == 200
    else:
        assert office.admin.http.delete(f"{url}/{first.json()['invitation_id']}").status_code == 204
    api.query(
        "UPDATE ops.idempotency SET lease_until = now() - interval '1 day' WHERE key = %s", f"lost-{how}"
    )

    again = office.admin.http.post(url, **asked)

    assert again.status_code == 201
    assert again.json() == first.json() | {"version": 2}
    assert len(api.events(first.json()["invitation_id"])) == 2


def test_an_address_is_invited_by_an_organisation_so_often_a_day_and_no_oftener(office):
    url = f"{office.url}/invitations"
    for _ in range(MAILS_A_DAY):
        made = office.invite("bombed@example.org")
        assert office.admin.http.delete(f"{url}/{made.json()['invitation_id']}").status_code == 204
    refused = office.invite("Bombed@example.org", "student")
    assert refusal(refused) == (409, "too-many-invitations")
    assert refused.json()["at_most"] == MAILS_A_DAY
    assert int(refused.headers["Retry-After"]) > 0
    assert office.invite("another@example.org").status_code == 201


def test_an_invitation_is_not_found_once_whoever_sent_it_runs_the_organisation_no_longer(office, guest):
    second = office.member("org_admin")
    invited = office.invite(guest.email)
    removed = second.http.delete(f"{office.url}/members/{office.admin.user_id}")
    assert removed.status_code == 204
    assert refusal(accept(guest, invited)) == (404, "invitation-not-found")


def test_of_taking_back_and_accepting_at_once_one_wins(api, office):
    for _ in range(5):
        guest = verified(api, somebody(api))
        invited = office.invite(guest.email)
        invitation_id = invited.json()["invitation_id"]
        accepted, revoked = api.at_once(
            [
                {
                    "method": "POST",
                    "url": f"invitations/{invitation_id}/acceptance",
                    "headers": bearer(guest.token),
                },
                {
                    "method": "DELETE",
                    "url": f"organizations/{office.org_id}/invitations/{invitation_id}",
                    "headers": bearer(office.admin.token),
                },
            ]
        )
        is_member = any(isinstance(each, RoleGranted) for each in api.events(guest.user_id))
        assert (accepted.status_code, revoked.status_code) in {(200, 409), (409, 204)}
        assert is_member == (accepted.status_code == 200)


def test_the_administrators_see_whom_they_have_invited_and_nobody_else_does(api, office, guest):
    first, second = office.invite(guest.email), office.invite("second@example.org", "student")
    url = f"{office.url}/invitations"
    page = office.admin.http.get(url, params={"limit": 1}, headers=after(second)).json()
    rest = office.admin.http.get(url, params={"cursor": page["next_cursor"]}).json()
    listed = [*page["items"], *rest["items"]]
    assert {each["email"] for each in listed} == {guest.email, "second@example.org"}
    assert refusal(office.school.teacher.http.get(url)) == (403, "role-required")
    assert refusal(an_office(api).admin.http.get(url)) == (404, "organization-not-found")
    office.admin.http.delete(f"{url}/{first.json()['invitation_id']}")
    gone = office.admin.http.delete(f"{url}/{first.json()['invitation_id']}")
    left = office.admin.http.get(url, headers=after(gone)).json()["items"]
    assert [each["email"] for each in left] == ["second@example.org"]


def test_after_fourteen_days_it_is_over_and_the_log_says_so(database):
    clock = Clock()
    with run_folder("invitations") as folder, running_api(database, folder, clock=clock) as api:
        office, guest = an_office(api), verified(api, somebody(api))
        invited = office.invite(guest.email)
        again = office.invite("later@example.org")
        invitation_id = invited.json()["invitation_id"]
        clock.advance(13.9 * DAY_S)
        reading = api.client(api.token(guest.user_id))
        assert len(reading.get("/invitations", headers=after(again)).json()["invitations"]) == 1
        assert api.run(tend_memberships(api.write, api.services.class_lists)).expired == 0

        clock.advance(0.2 * DAY_S)
        late = reading.post(f"/invitations/{invitation_id}/acceptance")
        assert refusal(late) == (409, "invitation-over")
        assert reading.get("/invitations").json()["invitations"] == []

        tended = api.run(tend_memberships(api.write, api.services.class_lists))
        twice = api.run(tend_memberships(api.write, api.services.class_lists))
        assert (tended.expired, tended.failed, twice.failed) == (2, (), ())
        assert [type(each) for each in api.events(invitation_id)] == [MemberInvited, InvitationExpired]
        admin = api.client(api.token(office.admin.user_id, RoleGrant("org_admin", office.org_id)))
        anew = admin.post(f"{office.url}/invitations", json={"email": guest.email, "role": "teacher"})
        assert anew.json()["invitation_id"] == invitation_id
