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


def require_may_change(
    changer: Registered, person: Registered, role: Role, org_id: StreamId | None, *, own: bool
) -> None:
    """Raises `OwnRoles`, `RoleNotYoursToChange`; `UserNotFound` for people whom the changer may not know."""
    is_sys_admin = changer.role("sys_admin", None) is not None
    administers = changer.role("org_admin", org_id) is not None if org_id is not None else False
    if not is_sys_admin and not (administers and role in ORGANIZATION_ROLES):
        raise RoleNotYoursToChange(role=role, org_id=org_id)
    if own:
        raise OwnRoles(role=role, org_id=org_id)
    if not is_sys_admin and org_id not in person.org_ids:
        raise UserNotFound
