"""Two organisations in memory: who administers them, and what the read side would know of their classes."""

from collections.abc import Sequence

from commands.kinds import CLASS, INVITATION, USER
from commands.reactions.memberships import Stray
from commands.register_user import normal_email
from domain.classes.school_class import Open
from domain.invitations.invitation import Pending
from domain.organizations.events import OrganizationFounded
from domain.users.account import Registered
from domain.users.events import EmailVerified, RoleGranted, UserRegistered
from tests.support.exam_parts import uuid7
from tests.support.memory import ZONE, World

ORGS = [f"organization-{uuid7(0xA0 + n)}" for n in range(2)]
ADMINS = {org_id: f"user-{uuid7(0xB0 + n)}" for n, org_id in enumerate(ORGS)}
PEOPLE = [f"user-{uuid7(0xC0 + n)}" for n in range(3)]
FITTING = {"student": {"student"}, "teacher": {"teacher", "tutor"}}


def email_of(user_id: str) -> str:
    return f"{user_id[-4:]}@example.org"


class Founded(World):
    """People with verified addresses, who belong nowhere but for one administrator of each organisation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for org_id, admin in ADMINS.items():
            self.record(org_id, OrganizationFounded(name="School", zone_id=ZONE), org_id=org_id)
            self.given_person(admin)
            self.record(admin, RoleGranted(role="org_admin", org_id=org_id))
        for user_id in PEOPLE:
            self.given_person(user_id)

    def given_person(self, user_id: str, *, zone_id: str = ZONE, verified: bool = True) -> str:
        email_hash = self.write.keyed_hash(normal_email(email_of(user_id)))
        registered = UserRegistered(
            origin="self",
            zone_id=zone_id,
            display_name="민지",
            language="ko",
            email=email_of(user_id),
            email_hash=email_hash,
        )
        self.record(user_id, registered, zone_id=zone_id, org_id=None)
        if verified:
            self.record(user_id, EmailVerified(email_hash=email_hash), zone_id=zone_id, org_id=None)
        return user_id

    def roles(self, user_id: str, org_id: str) -> set[str]:
        account = self.folded(USER, user_id)
        assert isinstance(account, Registered)
        return {each.role for each in account.roles if each.org_id == org_id}

    def in_class(self, class_id: str) -> set[tuple[str, str]]:
        """Whoever is in an open class, and as what."""
        state = self.folded(CLASS, class_id)
        if not isinstance(state, Open):
            return set()
        return {(each, "student") for each in state.students} | {(each, "teacher") for each in state.teachers}

    def folded(self, kind, stream_id):
        state = kind.initial
        for event in self.log.events(stream_id):
            state = kind.evolve(state, event)
        return state


class Known:
    """`ClassLists` and `DueMemberships`, up to date with the log."""

    def __init__(self, world: Founded) -> None:
        self._world = world

    async def classes_of(self, user_id: str, org_id: str) -> Sequence[str]:
        return [
            class_id
            for class_id in self._world.log.streams("class")
            if user_id in {each for each, _ in self._world.in_class(class_id)}
            and self._world.folded(CLASS, class_id).org_id == org_id
        ]

    async def invitations(self, now, limit):
        found = [
            each
            for each in self._world.log.streams("invitation")
            if isinstance(state := self._world.folded(INVITATION, each), Pending)
            and state.invited.expires_at <= now
        ]
        return found[:limit]

    async def strays(self, limit):
        found = []
        for class_id in self._world.log.streams("class"):
            for user_id, part in sorted(self._world.in_class(class_id)):
                org_id = self._world.folded(CLASS, class_id).org_id
                if not FITTING[part] & self._world.roles(user_id, org_id):
                    found.append(Stray(class_id, org_id, user_id, part))
        return found[:limit]


class KnownNothing(Known):
    """As it is when the read side lags behind for good."""

    async def classes_of(self, user_id: str, org_id: str) -> Sequence[str]:  # noqa: ARG002 - as the port
        return []
