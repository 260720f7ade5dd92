"""Who runs an organisation, whom a mail is asked for, and what happens between two steps of an order."""

import asyncio

import msgspec
import pytest

from commands.classes import ClassPeople, OpenClass, add_to_class, class_of_external_id, open_class
from commands.invitations import (
    MAIL_SCOPE,
    MAILS_A_DAY,
    InviteMember,
    RevokeInvitation,
    TooManyInvitations,
    accept_invitation,
    invite_member,
    revoke_invitation,
)
from commands.members import RemoveMember, remove_member
from commands.organizations import administered
from commands.ports import AccessNotApplied, NoMail
from domain.invitations.invitation import InvitationNotFound
from domain.organizations.organization import OrganizationNotFound
from domain.users.events import RoleGranted, RoleLapsed, UserDeactivated
from tests.support.exam_parts import uuid7
from tests.support.memberships import ADMINS, ORGS, PEOPLE, Founded, Known, email_of

ORG, OTHER = ORGS
PERSON = PEOPLE[0]
INVITING = InviteMember(org_id=ORG, email="jiwoo@example.org", role="teacher", language="ko")


@pytest.fixture
def world():
    return Founded()


def runs(world, actor_id, *, org_id=ORG, kind="user", staff_of=(), **how):
    asked = world.asked_by(actor_id, kind=kind, staff_of=staff_of)
    try:
        return asyncio.run(administered(world.write, asked, org_id, **how))
    except OrganizationNotFound:
        return None


def admin(world, **how):
    return world.asked_by(ADMINS[ORG], **how)


def test_an_organisation_is_run_by_its_own_administrators_and_by_nobody_elses(world):
    assert runs(world, ADMINS[ORG]) is not None
    assert runs(world, ADMINS[OTHER]) is None
    assert runs(world, PERSON) is None
    world.record(PERSON, RoleGranted(role="teacher", org_id=ORG))
    assert runs(world, PERSON) is None
    assert runs(world, ADMINS[ORG], org_id=f"organization-{uuid7(0xDD)}") is None


def test_who_lost_the_role_or_the_account_runs_nothing_whatever_a_token_says(world):
    world.record(ADMINS[ORG], RoleLapsed(role="org_admin", org_id=ORG, reason="removed"))
    assert runs(world, ADMINS[ORG], staff_of=[ORG]) is None
    world.record(ADMINS[OTHER], UserDeactivated(reason="left"))
    assert runs(world, ADMINS[OTHER], org_id=OTHER) is None


def test_the_systems_administrators_run_every_organisation_and_a_zones_only_where_they_may(world):
    world.record(PERSON, RoleGranted(role="sys_admin"))
    assert runs(world, PERSON).by_zone is False
    keeper = world.given_person(f"user-{uuid7(0xD1)}")
    world.record(keeper, RoleGranted(role="zone_admin"))
    assert runs(world, keeper) is None
    assert runs(world, keeper, by_zone=True).by_zone is True
    stranger = world.given_person(f"user-{uuid7(0xD2)}", zone_id="kzone")
    world.record(stranger, RoleGranted(role="zone_admin"), zone_id="kzone")
    assert runs(world, stranger, by_zone=True) is None


def test_a_program_runs_what_is_its_own_where_programs_may(world):
    assert runs(world, "client-roster", kind="service", staff_of=[ORG], services=True) is not None
    assert runs(world, "client-roster", kind="service", staff_of=[ORG]) is None
    assert runs(world, "client-roster", kind="service", staff_of=[OTHER], services=True) is None
    assert runs(world, "operator", kind="operator") is not None


class Letters(NoMail):
    def __init__(self):
        self.asked = []

    async def to_invitee(self, invitation_id, mail_id):
        self.asked.append((invitation_id, mail_id))


def test_a_mail_goes_out_for_each_invitation_that_is_new_and_for_no_other(world):
    letters = Letters()
    object.__setattr__(world.write, "mail", letters)
    asked = admin(world)
    made = asyncio.run(invite_member(world.write, asked, INVITING))
    asyncio.run(invite_member(world.write, admin(world), INVITING))
    assert letters.asked == [(made.stream_id, asked.command_id)]

    revoking = RevokeInvitation(org_id=ORG, invitation_id=made.stream_id)
    asyncio.run(revoke_invitation(world.write, admin(world), revoking))
    again = admin(world)
    asyncio.run(invite_member(world.write, again, INVITING))
    assert letters.asked[1:] == [(made.stream_id, again.command_id)]


async def invite_and_take_back(world, org_id, email):
    """Until it is refused."""
    for role in ("teacher", "tutor", "student") * 10:
        inviting = InviteMember(org_id=org_id, email=email, role=role, language="ko")
        made = await invite_member(world.write, world.asked_by(ADMINS[org_id]), inviting)
        revoking = RevokeInvitation(org_id=org_id, invitation_id=made.stream_id)
        await revoke_invitation(world.write, world.asked_by(ADMINS[org_id]), revoking)


def letters_to(world, email, *, days=1, org_id=ORG):
    """How many letters are asked for on each day by somebody who asks for as many as they can."""
    sent = []
    for _ in range(days):
        letters = Letters()
        object.__setattr__(world.write, "mail", letters)
        with pytest.raises(TooManyInvitations) as refusal:
            asyncio.run(invite_and_take_back(world, org_id, email))
        sent.append(len(letters.asked))
        assert refusal.value.at_most == MAILS_A_DAY
        world.clock.advance(seconds=refusal.value.retry_after_s)
    return sent


def test_an_organisation_writes_to_an_address_five_times_a_day_whatever_it_takes_back(world):
    assert letters_to(world, "Jiwoo@example.org", days=3) == [MAILS_A_DAY] * 3
    assert letters_to(world, "other@example.org") == [MAILS_A_DAY]
    assert letters_to(world, "jiwoo@example.org", org_id=OTHER) == [MAILS_A_DAY]


def test_many_orders_of_one_invitation_at_the_same_moment_are_one_letter_of_the_day(world):
    async def together():
        inviting = [invite_member(world.another_process(), admin(world), INVITING) for _ in range(20)]
        return await asyncio.gather(*inviting)

    assert len({each.stream_id for each in asyncio.run(together())}) == 1
    places = [key for scope, key in world.claims.held if scope == MAIL_SCOPE]
    assert len(places) == 1


def test_a_request_that_comes_again_after_the_invitation_was_taken_back_sends_nothing(world):
    letters = Letters()
    object.__setattr__(world.write, "mail", letters)
    asked = admin(world, repeatable=True)
    made = asyncio.run(invite_member(world.write, asked, INVITING))
    revoking = RevokeInvitation(org_id=ORG, invitation_id=made.stream_id)
    asyncio.run(revoke_invitation(world.write, admin(world), revoking))

    again = asyncio.run(invite_member(world.another_process(), asked, INVITING))

    assert (again.stream_id, again.version, again.state.how) == (made.stream_id, 2, "revoked")
    assert len(letters.asked) == 1


def invited_by(world, inviter, role="teacher"):
    inviting = InviteMember(org_id=ORG, email=email_of(PERSON), role=role, language="ko")
    made = asyncio.run(invite_member(world.write, world.asked_by(inviter), inviting))
    return accept_invitation(world.write, world.asked_by(PERSON), made.stream_id)


@pytest.mark.parametrize(
    "what", [RoleLapsed(role="org_admin", org_id=ORG, reason="removed"), UserDeactivated(reason="left")]
)
def test_an_invitation_opens_nothing_once_whoever_sent_it_runs_the_organisation_no_longer(world, what):
    accepting = invited_by(world, ADMINS[ORG])
    world.record(ADMINS[ORG], what)
    with pytest.raises(InvitationNotFound):
        asyncio.run(accepting)
    assert world.roles(PERSON, ORG) == set()


def test_of_several_who_sent_an_invitation_the_last_one_counts(world):
    second = world.given_person(f"user-{uuid7(0xD3)}")
    world.record(second, RoleGranted(role="org_admin", org_id=ORG))
    invited_by(world, ADMINS[ORG]).close()
    [invitation_id] = world.log.streams("invitation")
    revoking = RevokeInvitation(org_id=ORG, invitation_id=invitation_id)
    asyncio.run(revoke_invitation(world.write, admin(world), revoking))
    accepting = invited_by(world, second)
    world.record(ADMINS[ORG], RoleLapsed(role="org_admin", org_id=ORG, reason="removed"))
    asyncio.run(accepting)
    assert world.roles(PERSON, ORG) == {"teacher"}


def test_who_runs_the_zone_alone_by_now_has_invited_administrators_and_nobody_else(world):
    root = world.given_person(f"user-{uuid7(0xD4)}")
    world.record(root, RoleGranted(role="sys_admin"), RoleGranted(role="zone_admin"))
    as_teacher, as_admin = invited_by(world, root), invited_by(world, root, "org_admin")
    world.record(root, RoleLapsed(role="sys_admin", reason="removed"))
    with pytest.raises(InvitationNotFound):
        asyncio.run(as_teacher)
    asyncio.run(as_admin)
    assert world.roles(PERSON, ORG) == {"org_admin"}


def test_an_invitation_that_was_saved_and_not_answered_is_the_same_when_asked_for_again(world):
    asked = admin(world, repeatable=True)
    world.log.fail_after_the_next_append(ConnectionError())
    with pytest.raises(ConnectionError):
        asyncio.run(invite_member(world.write, asked, INVITING))
    again = asyncio.run(invite_member(world.another_process(), asked, INVITING))
    assert again.version == 1
    assert len(world.log.streams("invitation")) == 1


def test_a_class_is_found_by_its_external_id(world):
    command = OpenClass(org_id=ORG, name="Class", external_id="3-2")
    made = asyncio.run(open_class(world.write, admin(world), command))
    assert asyncio.run(class_of_external_id(world.write, ORG, "3-2")) == made.stream_id
    assert asyncio.run(class_of_external_id(world.write, OTHER, "3-2")) is None


def test_whoever_is_put_into_a_class_while_they_are_removed_is_taken_out_again(world):
    """After the removal has looked which classes there are, and before it takes the roles away."""
    made = asyncio.run(open_class(world.write, admin(world), OpenClass(org_id=ORG, name="Class")))
    world.record(PERSON, RoleGranted(role="student", org_id=ORG))
    placing = ClassPeople(org_id=ORG, class_id=made.stream_id, part="student", user_ids=(PERSON,))

    class Overtaken(Known):
        looked = 0

        async def classes_of(self, user_id, org_id):
            found = await super().classes_of(user_id, org_id)
            self.looked += 1
            if self.looked == 1:
                await add_to_class(world.another_process(), admin(world), placing)
            return found

    lists = Overtaken(world)
    removing = RemoveMember(org_id=ORG, user_id=PERSON)
    asyncio.run(remove_member(world.write, lists, admin(world), removing))

    assert lists.looked == 2
    assert world.in_class(made.stream_id) == set()
    assert world.roles(PERSON, ORG) == set()


def test_a_removal_that_cannot_be_said_to_be_in_force_is_not_acknowledged_and_is_finished_the_next_time(
    world,
):
    world.record(PERSON, RoleGranted(role="teacher", org_id=ORG))
    waited, refused = [], []

    class Slow:
        async def wait(self, stream_id, version):
            waited.append((stream_id, version))
            if len(waited) == 1:
                raise AccessNotApplied(retry_after_s=1)

    class Tokens:
        async def end_older(self, subject_id, account_version):
            refused.append((subject_id, account_version))

    for name, port in (("access_applied", Slow()), ("older_tokens", Tokens())):
        object.__setattr__(world.write, name, port)
    asked = admin(world, repeatable=True)
    removing = RemoveMember(org_id=ORG, user_id=PERSON)
    with pytest.raises(AccessNotApplied):
        asyncio.run(remove_member(world.write, Known(world), asked, removing))
    done = asyncio.run(remove_member(world.write, Known(world), asked, removing))

    assert waited == [(PERSON, done.version)] * 2
    assert refused == [(PERSON, done.version)] * 2
    assert [type(each) for each in world.log.events(PERSON)].count(RoleLapsed) == 1


def test_the_events_of_a_membership_belong_to_the_organisation_and_its_zone(world):
    made = asyncio.run(invite_member(world.write, admin(world), INVITING))
    [recorded] = world.log.stream(made.stream_id)
    assert (recorded.metadata.org_id, recorded.metadata.zone_id) == (ORG, "univprep")
    assert msgspec.structs.asdict(recorded.event)["email"] == "jiwoo@example.org"
