"""What nobody orders: invitations that nobody has accepted expire, and who is no member leaves the classes.

A membership may end by itself (a role that nobody confirmed), or at the moment in which somebody is put into
a class. So now and then everybody is looked for who is in a class without being a member.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from commands.classes import ROLES_OF_PART, Part, members_among, take_out_of_class
from commands.context import CommandContext
from commands.invitations import expire_invitation
from commands.kinds import CLASS
from commands.write_side import WriteSide
from domain.errors import DomainError
from domain.events import Actor
from domain.identifiers import StreamId


class Stray(msgspec.Struct, frozen=True):
    """Somebody in a class who does not seem to be a member of its organisation."""

    class_id: StreamId
    org_id: StreamId
    user_id: StreamId
    part: Part


class DueMemberships(Protocol):
    """As the read side has it, which may lag: the commands decide."""

    async def invitations(self, now: datetime, limit: int) -> Sequence[StreamId]:
        """Pending ones whose time is over."""
        ...

    async def strays(self, limit: int) -> Sequence[Stray]: ...


class MembershipsTended(msgspec.Struct, frozen=True):
    """How many invitations expired, how many people left a class, and what could not be done and why."""

    expired: int
    taken_out: int
    failed: tuple[tuple[StreamId, DomainError], ...]


async def tend_memberships(write: WriteSide, due: DueMemberships, *, limit: int = 500) -> MembershipsTended:
    """Does what is due now, at most `limit` of each. What fails holds up nothing else."""
    expired = taken_out = 0
    failed: list[tuple[StreamId, DomainError]] = []
    for invitation_id in await due.invitations(write.clock(), limit):
        try:
            outcome = await expire_invitation(write, _by_the_clock(write), invitation_id)
            expired += len(outcome.events)
        except DomainError as error:
            failed.append((invitation_id, error))
    for stray in await due.strays(limit):
        try:
            taken_out += await _take_out(write, stray)
        except DomainError as error:
            failed.append((stray.class_id, error))
    return MembershipsTended(expired, taken_out, tuple(failed))


async def _take_out(write: WriteSide, stray: Stray) -> int:
    roles = ROLES_OF_PART[stray.part]
    if await members_among(write, stray.org_id, [stray.user_id], roles):
        return 0
    owner = (await write.streams.read(CLASS, stray.class_id)).owner
    context = _by_the_clock(write).within(owner.zone_id, owner.org_id)
    outcome = await take_out_of_class(write, context, stray.class_id, stray.user_id, (stray.part,))
    return len(outcome.events)


def _by_the_clock(write: WriteSide) -> CommandContext:
    command_id = write.new_id()
    return CommandContext(
        actor=Actor("clock", "memberships"),
        zone_id=None,
        org_id=None,
        correlation_id=command_id,
        command_id=command_id,
    )
