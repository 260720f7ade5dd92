"""Which roles have to be confirmed, and when one lapses because nobody has.

Somebody else has to stand for a role with power over others again and again. One of the system
administrators, the one whose role was granted or confirmed last, never loses it that way: without any, nobody
could confirm anything any more. It is reported instead.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

from domain.identifiers import StreamId
from domain.zones import Role, ZoneId

Standing: TypeAlias = Literal["confirmed", "due", "overdue"]
"""`due`: to be confirmed soon. `overdue`: its time is over, and it lapses unless it is the last one's."""


class ReviewRules(msgspec.Struct, frozen=True):
    """How long a role stands without being confirmed, and how long before its end that is told."""

    confirm_within: timedelta
    warn_before: timedelta


class HeldRole(msgspec.Struct, frozen=True, kw_only=True):
    """A role as somebody holds it. `reviewed_at` is what the account itself says, see `GrantedRole`."""

    user_id: StreamId
    role: Role
    org_id: StreamId | None
    zone_id: ZoneId | None
    granted_at: datetime
    granted_by: str
    confirmed_at: datetime | None
    confirmed_by: str | None
    reviewed_at: datetime | None

    @property
    def since(self) -> datetime:
        """When somebody stood for it last."""
        return self.confirmed_at or self.granted_at

    def due_at(self, rules: ReviewRules) -> datetime:
        return self.since + rules.confirm_within

    def standing(self, rules: ReviewRules, now: datetime) -> Standing:
        if now >= self.due_at(rules):
            return "overdue"
        return "due" if now >= self.due_at(rules) - rules.warn_before else "confirmed"


def keeper_of(held: Iterable[HeldRole]) -> HeldRole | None:
    """The system administrator who keeps the role whatever happens; whoever looks finds the same one."""
    admins = [each for each in held if each.role == "sys_admin"]
    return max(admins, key=lambda each: (each.since, each.user_id), default=None)
