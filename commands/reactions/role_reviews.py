"""What the clock does to roles that have to be confirmed: it warns, and then lets them lapse.

The read side knows what is due; the commands decide. Warning twice, lapsing twice, late, or in two processes
at once does nothing the second time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

import msgspec

from commands.context import CommandContext
from commands.kinds import USER
from commands.roles import ChangeRole, lapse_unconfirmed
from commands.write_side import WriteSide
from domain.errors import DomainError
from domain.events import Actor
from domain.users.account import Registered
from domain.users.role_reviews import HeldRole, ReviewRules, keeper_of


class RoleReviews(Protocol):
    async def held(self) -> Sequence[HeldRole]:
        """Every role that has to be confirmed, as far as the read side knows."""
        ...


class RolesReviewed(msgspec.Struct, frozen=True):
    """What was done: who was warned, what has lapsed, what could not be done and why.

    `kept` is the last system administrator's role where its time is over.
    """

    warned: tuple[HeldRole, ...] = ()
    lapsed: tuple[HeldRole, ...] = ()
    failed: tuple[tuple[HeldRole, DomainError], ...] = ()
    kept: HeldRole | None = None


async def review_roles(write: WriteSide, reviews: RoleReviews, rules: ReviewRules) -> RolesReviewed:
    """Does what is due now. What fails holds up nothing else."""
    held, now = await reviews.held(), write.clock()
    keeper = keeper_of(held)
    standing = {each: each.standing(rules, now) for each in held}
    due = [each for each in held if standing[each] == "due"]
    warned = [*due, keeper] if keeper is not None and standing[keeper] == "overdue" else due
    await _warn(write, held, warned, now)
    lapsed: list[HeldRole] = []
    failed: list[tuple[HeldRole, DomainError]] = []
    for each in held:
        if standing[each] != "overdue" or each == keeper:
            continue
        # The read side may be a moment late: whoever is to keep the role may just have lost it.
        if each.role == "sys_admin" and (keeper is None or not await _still_holds(write, keeper)):
            continue
        try:
            command = ChangeRole(user_id=each.user_id, role=each.role, org_id=each.org_id)
            ended = await lapse_unconfirmed(write, _by_the_clock(write), command, each.reviewed_at)
        except DomainError as error:
            failed.append((each, error))
        else:
            lapsed += [each] if ended.events else []
    kept = keeper if keeper is not None and standing[keeper] == "overdue" else None
    return RolesReviewed(tuple(warned), tuple(lapsed), tuple(failed), kept)


async def _warn(write: WriteSide, held: Sequence[HeldRole], due: Sequence[HeldRole], now: datetime) -> None:
    """Writes to those whose role ends soon, once for each time, and once a day to those who may confirm it.

    A mail is known by its id, so however often this is asked for, each is sent once.
    """
    for each in due:
        about = f"{each.user_id} {each.role} {each.org_id} {each.since.isoformat()}"
        await write.mail.to_person("role_review_due", each.user_id, _mail_id(f"role_review_due {about}"))
    for admin in {each.user_id for each in held if each.role == "sys_admin"}:
        if any(each.user_id != admin for each in due):
            today = _mail_id(f"roles_to_confirm {admin} {now.date().isoformat()}")
            await write.mail.to_person("roles_to_confirm", admin, today)


async def _still_holds(write: WriteSide, keeper: HeldRole) -> bool:
    account = (await write.streams.read(USER, keeper.user_id)).state
    return isinstance(account, Registered) and account.role(keeper.role, keeper.org_id) is not None


def _mail_id(text: str) -> str:
    return str(uuid5(NAMESPACE_URL, text))


def _by_the_clock(write: WriteSide) -> CommandContext:
    command_id = write.new_id()
    return CommandContext(
        actor=Actor("clock", "role-reviews"),
        zone_id=None,
        org_id=None,
        correlation_id=command_id,
        command_id=command_id,
    )
