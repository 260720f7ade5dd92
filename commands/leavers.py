"""Leavers: a list of people whose accounts are deactivated, row by row."""

from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from commands.context import CommandContext
from commands.deactivate_user import DeactivateUser, deactivate_user
from commands.kinds import USER
from commands.reactions.role_reviews import RoleReviews
from commands.register_user import EMAIL_SCOPE, normal_email
from commands.roster.tables import cells_by_column, decoded, table
from commands.write_side import WriteSide
from domain.errors import Malformed
from domain.identifiers import StreamId, category_of
from domain.users.account import Deactivated, Registered

COLUMNS = ("user_id", "email")

Happened: TypeAlias = Literal[
    "deactivated", "to be deactivated", "deactivated before", "not found", "last sys_admin", "unreadable"
]
DONE: Final[frozenset[Happened]] = frozenset({"deactivated", "to be deactivated", "deactivated before"})
"""What is as it was asked for."""


class UnreadableLeavers(Malformed):
    """The list has no column by which people could be found."""

    code = "unreadable-leavers"
    title = "The list needs a column user_id or email"


class Leaver(msgspec.Struct, frozen=True):
    """A row of the list; `row` counts as a spreadsheet does. None where it names nobody."""

    row: int
    named: str | None


class LeaverResult(msgspec.Struct, frozen=True):
    row: int
    named: str | None
    user_id: StreamId | None
    happened: Happened


class SignIns(Protocol):
    """Sessions and tokens: see `infra.auth`."""

    async def end_all_of(self, user_id: StreamId) -> None:
        """Ends every sign-in of somebody who may not come back, and refuses their tokens."""
        ...


def read_leavers(body: bytes) -> list[Leaver]:
    """The rows of a CSV file (UTF-8 or CP949). Where a row has both columns, the user id counts.

    Raises `UnreadableLeavers`, and `UnreadableRoster` for what is no table.
    """
    header, rows = table(decoded(body))
    if not set(header) & set(COLUMNS):
        raise UnreadableLeavers
    leavers = []
    for number, cells in rows:
        named = cells_by_column(header, cells) or {}
        found = next((text for column in COLUMNS if (text := named.get(column, "").strip())), None)
        leavers.append(Leaver(number, found))
    return leavers


@dataclass
class Leaving:
    """Goes through one list, deactivating everybody who is listed; with `dry_run` nobody.

    What fails in one row holds up no other, and a list may be gone through again.
    """

    write: WriteSide
    context: CommandContext
    sign_ins: SignIns
    reviews: RoleReviews
    reason: str
    dry_run: bool
    _left: set[StreamId] = field(default_factory=set)

    async def leave(self, leaver: Leaver) -> LeaverResult:
        if leaver.named is None:
            return LeaverResult(leaver.row, None, None, "unreadable")
        user_id = await self._user_id(leaver.named)
        happened: Happened = "not found" if user_id is None else await self._deactivate(user_id)
        return LeaverResult(leaver.row, leaver.named, user_id, happened)

    async def _deactivate(self, user_id: StreamId) -> Happened:
        person = (await self.write.streams.read(USER, user_id)).state
        if isinstance(person, Deactivated) or user_id in self._left:
            if not self.dry_run:
                # Whoever deactivated the account may have been stopped before this.
                await self.sign_ins.end_all_of(user_id)
            return "deactivated before"
        if not isinstance(person, Registered):
            return "not found"
        if person.role("sys_admin", None) is not None and not await self._another_admin(user_id):
            return "last sys_admin"
        self._left.add(user_id)
        if self.dry_run:
            return "to be deactivated"
        command = DeactivateUser(user_id=user_id, reason=self.reason)
        outcome = await deactivate_user(self.write, self.context, command)
        await self.sign_ins.end_all_of(user_id)
        await self.write.access_applied.wait(outcome.stream_id, outcome.version)
        return "deactivated"

    async def _user_id(self, named: str) -> StreamId | None:
        if category_of(named) == "user":
            return named
        email_hash = self.write.keyed_hash(normal_email(named))
        return await self.write.claims.holder(EMAIL_SCOPE, email_hash)

    async def _another_admin(self, but: StreamId) -> bool:
        """Whether somebody goes on administering the system."""
        for each in await self.reviews.held():
            if each.role == "sys_admin" and each.user_id != but and each.user_id not in self._left:
                account = (await self.write.streams.read(USER, each.user_id)).state
                if isinstance(account, Registered) and account.role("sys_admin", None) is not None:
                    return True
        return False
