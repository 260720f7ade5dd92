"""Memberships against a model that fits on a page: who holds which role where, and who is in which class.

Hypothesis invites, accepts, takes back, removes, fills classes and closes them, in any order, through the
commands of two processes that share a log and nothing else.
"""

import asyncio
from collections import Counter
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from commands.classes import (
    ClassPeople,
    CloseClass,
    OpenClass,
    add_to_class,
    close_class,
    open_class,
    withdraw_from_class,
)
from commands.invitations import (
    GOOD_FOR,
    MAILS_A_DAY,
    InviteMember,
    RevokeInvitation,
    TooManyInvitations,
    accept_invitation,
    invite_member,
    revoke_invitation,
)
from commands.members import AddMember, MemberNotFound, RemoveMember, add_member, remove_member
from commands.reactions.memberships import tend_memberships
from commands.roles import ChangeRole, end_role
from domain.classes.school_class import ClassIsClosed, ClassNotFound
from domain.errors import DomainError
from domain.invitations.events import MemberInvited
from domain.invitations.invitation import InvitationNotFound, InvitationOver
from domain.users.account import UserNotFound
from tests.support.memberships import ADMINS, FITTING, ORGS, PEOPLE, Founded, Known, KnownNothing, email_of

ROLES = ["student", "teacher", "tutor", "org_admin"]
processes = st.sampled_from([0, 1])
orgs = st.sampled_from(ORGS)
people = st.sampled_from(PEOPLE)
roles = st.sampled_from(ROLES)
parts = st.sampled_from(["student", "teacher"])


class Memberships(RuleBasedStateMachine):
    classes = Bundle("classes")
    invitations = Bundle("invitations")

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = Founded()
        self.writing = [self.world.write, self.world.another_process()]
        self.known = Known(self.world)
        # The model.
        self.held = {(org, person): set() for org in ORGS for person in PEOPLE}
        self.placed: dict[str, set] = {}
        self.closed: set[str] = set()
        self.org_of: dict[str, str] = {}
        self.invited: dict[str, dict] = {}
        self.letters: Counter[tuple] = Counter()

    def teardown(self):
        self.runner.close()

    def outcome(self, work):
        """What it came to, or how it was refused."""
        try:
            return self.runner.run(work)
        except DomainError as error:
            return type(error)

    def by(self, org):
        return self.world.asked_by(ADMINS[org])

    @rule(target=classes, process=processes, org=orgs)
    def open(self, process, org):
        command = OpenClass(org_id=org, name="Class")
        class_id = self.outcome(open_class(self.writing[process], self.by(org), command)).stream_id
        self.placed[class_id], self.org_of[class_id] = set(), org
        return class_id

    @rule(target=invitations, process=processes, org=orgs, person=people, role=roles)
    def invite(self, process, org, person, role):
        command = InviteMember(org_id=org, email=email_of(person), role=role, language="ko")
        done = self.outcome(invite_member(self.writing[process], self.by(org), command))
        today = (org, person, self.world.clock().date())
        if done is TooManyInvitations:
            assert self.letters[today] == MAILS_A_DAY
            return multiple()
        made = done.stream_id
        self.letters[today] += len([each for each in done.events if isinstance(each, MemberInvited)])
        known = self.invited.get(made)
        if known is None or known["ended"] or self.world.clock() >= known["until"]:
            until = self.world.clock() + GOOD_FOR
            self.invited[made] = {"org": org, "person": person, "role": role, "until": until, "ended": ""}
        return made

    @rule(process=processes, invitation=invitations, person=people)
    def accept(self, process, invitation, person):
        known = self.invited[invitation]
        is_over = known["ended"] or self.world.clock() >= known["until"]
        done = self.outcome(accept_invitation(self.writing[process], self.world.asked_by(person), invitation))
        if person != known["person"]:
            assert done is InvitationNotFound
        elif known["ended"] == "accepted":
            assert done.events == ()
        elif is_over:
            assert done is InvitationOver
        else:
            known["ended"] = "accepted"
            self.held[known["org"], person].add(known["role"])

    @rule(process=processes, invitation=invitations, org=orgs)
    def revoke(self, process, invitation, org):
        known = self.invited[invitation]
        command = RevokeInvitation(org_id=org, invitation_id=invitation)
        done = self.outcome(revoke_invitation(self.writing[process], self.by(org), command))
        if org != known["org"]:
            assert done is InvitationNotFound
        elif known["ended"] == "accepted":
            assert done is InvitationOver
        else:
            known["ended"] = known["ended"] or "revoked"

    @rule(process=processes, org=orgs, person=people, role=roles)
    def add(self, process, org, person, role):
        command = AddMember(org_id=org, user_id=person, role=role)
        done = self.outcome(add_member(self.writing[process], self.by(org), command))
        if self.held[org, person]:
            self.held[org, person].add(role)
        else:
            assert done is UserNotFound

    @rule(process=processes, org=orgs, person=people)
    def remove(self, process, org, person):
        command = RemoveMember(org_id=org, user_id=person)
        done = self.outcome(remove_member(self.writing[process], self.known, self.by(org), command))
        assert (done is MemberNotFound) == (not self.held[org, person])
        if self.held[org, person]:
            self.held[org, person].clear()
            self._take_out(org, person, set())

    @rule(process=processes, org=orgs, person=people, role=roles)
    def lapse(self, process, org, person, role):
        """By another way than leaving the organisation: the classes follow when somebody looks."""
        order = ChangeRole(user_id=person, role=role, org_id=org)
        self.outcome(end_role(self.writing[process], self.by(org), order, "unconfirmed"))
        self.held[org, person].discard(role)

    @rule(process=processes, org=orgs, class_id=classes, some=st.lists(people, min_size=1), part=parts)
    def fill(self, process, org, class_id, some, part):
        command = ClassPeople(org_id=org, class_id=class_id, part=part, user_ids=tuple(some))
        done = self.outcome(add_to_class(self.writing[process], self.by(org), command))
        if org != self.org_of[class_id]:
            assert done is ClassNotFound
        elif class_id in self.closed:
            assert done is ClassIsClosed
        else:
            members = {each for each in some if FITTING[part] & self.held[org, each]}
            assert {each.user_id for each in done.people if each.status != "not_a_member"} == members
            self.placed[class_id] |= {(each, part) for each in members}

    @rule(process=processes, class_id=classes, some=st.lists(people, min_size=1), part=parts)
    def withdraw(self, process, class_id, some, part):
        org = self.org_of[class_id]
        command = ClassPeople(org_id=org, class_id=class_id, part=part, user_ids=tuple(some))
        done = self.outcome(withdraw_from_class(self.writing[process], self.by(org), command))
        assert (done is ClassIsClosed) == (class_id in self.closed)
        if class_id not in self.closed:
            self.placed[class_id] -= {(each, part) for each in some}

    @rule(process=processes, class_id=classes)
    def close(self, process, class_id):
        org = self.org_of[class_id]
        command = CloseClass(org_id=org, class_id=class_id, reason="over")
        self.outcome(close_class(self.writing[process], self.by(org), command))
        self.closed.add(class_id)

    @rule(days=st.integers(0, 10))
    def wait(self, days):
        self.world.clock.advance(days=days)

    @rule(process=processes)
    def tend(self, process):
        tended = self.outcome(tend_memberships(self.writing[process], self.known))
        assert tended.failed == ()
        for known in self.invited.values():
            if not known["ended"] and self.world.clock() >= known["until"]:
                known["ended"] = "expired"
        for (org, person), held in self.held.items():
            self._take_out(org, person, held)
        for class_id in self.placed:
            for person, part in self.world.in_class(class_id):
                assert FITTING[part] & self.held[self.org_of[class_id], person]

    def _take_out(self, org, person, held):
        for class_id, inside in self.placed.items():
            if self.org_of[class_id] == org and class_id not in self.closed:
                for part, fitting in FITTING.items():
                    if not fitting & held:
                        inside.discard((person, part))

    @invariant()
    def everybody_holds_what_the_model_says(self):
        for (org, person), held in self.held.items():
            assert self.world.roles(person, org) == held

    @invariant()
    def classes_are_as_the_model_has_them(self):
        for class_id, inside in self.placed.items():
            if class_id not in self.closed:
                assert self.world.in_class(class_id) == inside


TestMemberships = Memberships.TestCase
TestMemberships.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@settings(max_examples=60, deadline=None)
@given(
    late=st.lists(st.integers(0, 40), min_size=4, max_size=4),
    lists=st.sampled_from([Known, KnownNothing]),
    days=st.sampled_from([0, 20]),
)
def test_whatever_happens_at_the_same_moment_nobody_stays_in_a_class_without_being_a_member(
    late, lists, days
):
    async def later(steps, work):
        for _ in range(steps):
            await asyncio.sleep(0)
        try:
            return await work
        except DomainError as error:
            return error

    async def story():
        world = Founded()
        org, person = ORGS[0], PEOPLE[0]
        admin, other = world.write, world.another_process()

        def asked():
            return world.asked_by(ADMINS[org])

        class_id = (await open_class(admin, asked(), OpenClass(org_id=org, name="Class"))).stream_id
        invited = await invite_member(
            admin,
            asked(),
            InviteMember(
                org_id=org, email=email_of(person), role="student", language="ko", class_id=class_id
            ),
        )
        world.clock.advance(days=days)
        placing = ClassPeople(org_id=org, class_id=class_id, part="student", user_ids=(person,))
        done = await asyncio.gather(
            later(late[0], accept_invitation(other, world.asked_by(person), invited.stream_id)),
            later(late[1], add_to_class(admin, asked(), placing)),
            later(
                late[2],
                remove_member(other, lists(world), asked(), RemoveMember(org_id=org, user_id=person)),
            ),
            later(
                late[3],
                revoke_invitation(
                    admin, asked(), RevokeInvitation(org_id=org, invitation_id=invited.stream_id)
                ),
            ),
        )
        was_accepted = not isinstance(done[0], DomainError)
        was_revoked = not isinstance(done[3], DomainError)
        assert not (was_accepted and was_revoked)
        assert was_accepted or not world.roles(person, org)
        if lists is Known and not world.roles(person, org):
            assert world.in_class(class_id) == set()
        tended = await tend_memberships(admin, Known(world))
        assert tended.failed == ()
        if not world.roles(person, org):
            assert world.in_class(class_id) == set()
        assert timedelta(days=days) < GOOD_FOR or not was_accepted

    asyncio.run(story())
