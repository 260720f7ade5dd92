"""Who may grant a role, confirm it and take it away.

Nobody changes their own roles. System and zone administrators are made by system administrators alone. Roles
in an organisation are for its administrators, and system administrators may give any of them.
"""

from typing import Final

from domain.errors import Denied, IllegalState, Malformed
from domain.identifiers import StreamId
from domain.users.account import Registered, UserNotFound
from domain.zones import Role

REVIEWED_ROLES: Final[tuple[Role, ...]] = ("sys_admin", "zone_admin")
"""Held in the whole zone or everywhere, never in one organisation; to be confirmed again and again."""

ORGANIZATION_ROLES: Final[tuple[Role, ...]] = ("student", "parent", "teacher", "tutor", "org_admin")
"""What an administrator of an organisation may make of somebody there."""

_ANYBODYS_ROLES: Final[tuple[Role, ...]] = ("student", "parent")
"""Held in the whole zone by whoever registers; nobody's trust goes with them."""


class RoleNotGrantable(Malformed):
    """`service` is for programs; administrators of zones and of the system are that in no organisation."""

    code = "role-not-grantable"
    title = "Nobody can hold this role there"


class RoleNotYoursToChange(Denied):
    code = "role-not-yours-to-change"
    title = "You may not grant this role or take it away"


class OwnRoles(Denied):
    code = "own-roles"
    title = "Nobody changes their own roles"


class OrganizationOfAnotherZone(IllegalState):
    code = "organization-of-another-zone"
    title = "The organisation belongs to another zone than the person"


def require_holdable(role: Role, org_id: StreamId | None) -> None:
    """Raises `RoleNotGrantable`."""
    if role == "service" or (role in REVIEWED_ROLES and org_id is not None):
        raise RoleNotGrantable(role=role, org_id=org_id)


def require_may_change(changer: Registered, role: Role, org_id: StreamId | None, *, own: bool) -> None:
    """Raises `OwnRoles`, `RoleNotYoursToChange`.

    Nothing is asked of the person whose role it is, so nothing is told of them either.
    """
    administers = changer.role("org_admin", org_id) is not None if org_id is not None else False
    if not _is_sys_admin(changer) and not (administers and role in ORGANIZATION_ROLES):
        raise RoleNotYoursToChange(role=role, org_id=org_id)
    if own:
        raise OwnRoles(role=role, org_id=org_id)


def require_may_know(changer: Registered, person: Registered, org_id: StreamId | None) -> None:
    """Raises `UserNotFound` for people whom the organisation neither has as members nor enrolled."""
    if not _is_sys_admin(changer) and org_id not in person.known_to:
        raise UserNotFound


def _is_sys_admin(changer: Registered) -> bool:
    return changer.role("sys_admin", None) is not None


def require_may_deactivate(asker: Registered, person: Registered, *, own: bool) -> None:
    """System administrators may deactivate anybody, but an administrator not themselves.

    Who administers organisations may end an account that is known in these alone: elsewhere the person would
    lose what is not theirs to take away. Raises `OwnRoles`, `RoleNotYoursToChange`; `UserNotFound` for people
    whom the asker may not know.
    """
    if asker.role("sys_admin", None) is not None:
        for each in person.roles:
            # Or the last system administrator could leave the system without one.
            if own and each.role in REVIEWED_ROLES and each.org_id is None:
                raise OwnRoles(role=each.role, org_id=None)
        return
    administered = {
        each.org_id for each in asker.roles if each.role == "org_admin" and each.org_id is not None
    }
    if not person.org_ids & administered:
        raise UserNotFound
    for each in person.roles:
        if each.org_id is None and each.role not in _ANYBODYS_ROLES:
            raise RoleNotYoursToChange(role=each.role, org_id=None)
    if person.org_ids - administered:
        # Of which organisation else is not for the asker to know.
        raise RoleNotYoursToChange
