"""Who asks."""

from typing import Literal

import msgspec

SERVICE_PREFIX = "client-"
WITHOUT_ORGANIZATION = frozenset({"sys_admin", "zone_admin"})
"""Roles over a zone or over everything: held in one organisation they are worth nothing."""


class RoleGrant(msgspec.Struct, frozen=True, order=True):
    """A role, in one organisation or (org_id None) in the zone."""

    role: str
    org_id: str | None = None


class Principal(msgspec.Struct, frozen=True):
    """The asker as the access token names them.

    `attempt_id` is set in attempt-scoped tokens, which open that attempt and nothing else. `delegate`
    is the service to which such a token was given, to act for the examinee in the open.
    `account_version` is the version of the account from which the roles were read; None where they are
    none of an account.
    """

    subject_id: str
    zone_id: str
    roles: tuple[RoleGrant, ...]
    session_id: str
    attempt_id: str | None = None
    delegate: str | None = None
    account_version: int | None = None

    @property
    def kind(self) -> Literal["user", "service"]:
        return "service" if self.subject_id.startswith(SERVICE_PREFIX) else "user"

    @property
    def org_ids(self) -> tuple[str, ...]:
        """Organisations in which the asker holds a role, without doubles, in order."""
        return tuple(sorted({grant.org_id for grant in self.roles if grant.org_id is not None}))

    def has_role(self, *roles: str, org_id: str | None = None) -> bool:
        """Whether one of `roles` is held; with `org_id`: in that organisation or in the whole zone."""
        return any(
            grant.role in roles
            and (org_id is None or grant.org_id in {None, org_id})
            and (grant.org_id is None or grant.role not in WITHOUT_ORGANIZATION)
            for grant in self.roles
        )
