"""Roles against a model that fits on a page: who holds what, and since when somebody has stood for it.

Hypothesis grants, confirms, takes away, waits and lets the clock do its work, in any order, from two
processes that share a log and nothing else. Whatever happens, somebody administers the system.
"""

import asyncio
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from commands.kinds import USER
from commands.reactions.role_reviews import review_roles
from commands.roles import ChangeRole, confirm_role, grant_role, take_role_away
from domain.identifiers import stream_id
from domain.organizations.events import OrganizationFounded
from domain.users.account import RoleNotHeld
from domain.users.events import RoleGranted
from domain.users.role_reviews import HeldRole, ReviewRules
from domain.users.role_rules import REVIEWED_ROLES, OwnRoles, RoleNotYoursToChange
from tests.support.exam_parts import SCHOOL, uuid7
from tests.support.memory import World

PEOPLE = [stream_id("user", uuid7(0x20 + number)) for number in range(4)]
FOUNDER, HEAD = PEOPLE[0], PEOPLE[1]
ROLES = [("sys_admin", None), ("zone_admin", None), ("org_admin", SCHOOL), ("teacher", SCHOOL)]
RULES = ReviewRules(confirm_within=timedelta(days=30), warn_before=timedelta(days=7))

processes = st.sampled_from([0, 1])
people = st.sampled_from(PEOPLE)
roles = st.sampled_from(ROLES)


class Roles(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.writing = [self.world.write, self.world.another_process()]
        self.world.record(SCHOOL, OrganizationFounded(name="School", zone_id="univprep"))
        now = self.world.clock()
        self.held = {}
        for person in PEOPLE:
            self.world.given_user(person)
        for person, (role, org_id) in ((FOUNDER, ROLES[0]), (HEAD, ROLES[2])):
            self.world.record(person, RoleGranted(role=role, org_id=org_id, granted_at=now), org_id=org_id)
            self.held[person, role, org_id] = now

    def teardown(self):
        self.runner.close()

    @rule(process=processes, by=people, person=people, role=roles)
    def grant(self, process, by, person, role):
        refusal = self.order(grant_role, process, by, person, role)
        assert refusal == self.refusal(by, person, role)
        if refusal is None:
            self.held.setdefault((person, *role), self.world.clock())

    @rule(process=processes, by=people, person=people, role=roles)
    def confirm(self, process, by, person, role):
        refusal = self.order(confirm_role, process, by, person, role)
        expected = self.refusal(by, person, role)
        if expected is None and (person, *role) not in self.held:
            expected = RoleNotHeld
        assert refusal == expected
        if refusal is None:
            self.held[person, *role] = self.world.clock()

    @rule(process=processes, by=people, person=people, role=roles)
    def take_away(self, process, by, person, role):
        refusal = self.order(take_role_away, process, by, person, role)
        assert refusal == self.refusal(by, person, role)
        if refusal is None:
            self.held.pop((person, *role), None)

    @rule(days=st.integers(1, 20))
    def wait(self, days):
        self.world.clock.advance(days=days)

    @rule(workers=st.lists(processes, min_size=1, max_size=3))
    def review(self, workers):
        # Of several workers all but the first go by what is true no longer.
        seen = Seen(self.held)
        for process in workers:
            self.runner.run(review_roles(self.writing[process], seen, RULES))
        admins = [(since, person) for (person, role, _), since in self.held.items() if role == "sys_admin"]
        keeper = max(admins)[1]
        now = self.world.clock()
        for key, since in list(self.held.items()):
            kept = key[0] == keeper and key[1] == "sys_admin"
            if key[1] in REVIEWED_ROLES and now - since >= RULES.confirm_within and not kept:
                del self.held[key]

    @invariant()
    def everybody_holds_what_the_model_says(self):
        for write in self.writing:
            found = {
                (person, each.role, each.org_id): each.reviewed_at
                for person in PEOPLE
                for each in self.runner.run(write.streams.read(USER, person)).state.roles
            }
            assert found == self.held

    @invariant()
    def somebody_administers_the_system(self):
        assert any(role == "sys_admin" for _, role, _ in self.held)

    def refusal(self, by, person, role):
        name, org_id = role
        is_root = (by, "sys_admin", None) in self.held
        heads = org_id is not None and (by, "org_admin", org_id) in self.held
        if not is_root and not (heads and name not in REVIEWED_ROLES):
            return RoleNotYoursToChange
        if by == person:
            return OwnRoles
        # All of them were enrolled by the school: nobody is a stranger to its head.
        return None

    def order(self, what, process, by, person, role):
        command = ChangeRole(user_id=person, role=role[0], org_id=role[1])
        try:
            self.runner.run(what(self.writing[process], self.world.asked_by(by), command))
        except (RoleNotYoursToChange, OwnRoles, RoleNotHeld) as error:
            return type(error)
        return None


class Seen:
    """What the read side knew a while ago."""

    def __init__(self, model):
        self._held = [
            HeldRole(
                user_id=person,
                role=role,
                org_id=org_id,
                zone_id="univprep",
                granted_at=since,
                granted_by="x",
                confirmed_at=None,
                confirmed_by=None,
                reviewed_at=since,
            )
            for (person, role, org_id), since in model.items()
            if role in REVIEWED_ROLES
        ]

    async def held(self):
        return self._held


TestRoles = Roles.TestCase
TestRoles.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
