"""Parents ask for a link to a student, who approves or rejects it; either of them may let go of it.

Who answers for a student under the age of consent, mails, and the expiry of what nobody answers are not
decided here.
"""

import msgspec

from commands.context import CommandContext
from commands.kinds import PARENT_LINK, USER
from commands.streams import Loaded, Outcome
from commands.write_side import WriteSide
from domain.identifiers import StreamId, stream_id
from domain.parent_links import link
from domain.parent_links.link import Ends, Link, LinkNotFound, OwnParent, Unrequested
from domain.users.account import Account, Registered, UserNotFound

LINK_SCOPE = "parent link"


class RequestLink(msgspec.Struct, frozen=True, kw_only=True):
    """The asker is the parent."""

    student_id: StreamId


class LinkOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Approve, reject or revoke this one."""

    link_id: StreamId


async def request_link(write: WriteSide, context: CommandContext, command: RequestLink) -> Outcome[Link]:
    """One link for each two people, however often it is asked for. Raises `OwnParent`, `UserNotFound`."""
    parent_id = context.actor.id
    if parent_id == command.student_id:
        raise OwnParent
    parent = await _person(write, parent_id)
    student = await _person(write, command.student_id)
    if parent.zone_id != student.zone_id:
        raise UserNotFound  # beyond the wall nobody is known
    key = f"{parent_id}|{command.student_id}"
    wanted = stream_id("parent_link", write.new_id())
    [link_id] = await write.claims.claim(LINK_SCOPE, [key], [wanted])
    ends = Ends(parent_id, command.student_id, student.zone_id)
    return await write.streams.execute(
        context.within(student.zone_id, None), PARENT_LINK, link_id, lambda state: link.request(state, ends)
    )


async def approve_link(write: WriteSide, context: CommandContext, command: LinkOrder) -> Outcome[Link]:
    """Raises `LinkNotFound`, also for anybody but the student; `LinkNotPending`."""
    loaded = await _known(write, command.link_id)
    return await write.streams.execute(
        context.within(loaded.owner.zone_id, None),
        PARENT_LINK,
        command.link_id,
        lambda state: link.approve(state, context.actor.id),
    )


async def reject_link(write: WriteSide, context: CommandContext, command: LinkOrder) -> Outcome[Link]:
    """Raises `LinkNotFound`, also for anybody but the student; `LinkNotPending`."""
    loaded = await _known(write, command.link_id)
    return await write.streams.execute(
        context.within(loaded.owner.zone_id, None),
        PARENT_LINK,
        command.link_id,
        lambda state: link.reject(state, context.actor.id),
    )


async def revoke_link(write: WriteSide, context: CommandContext, command: LinkOrder) -> Outcome[Link]:
    """The parent's next look finds nothing: it returns when that is so.

    Raises `LinkNotFound`, also for anybody but the two; `LinkNotApproved`; `AccessNotApplied`.
    """
    loaded = await _known(write, command.link_id)
    outcome = await write.streams.execute(
        context.within(loaded.owner.zone_id, None),
        PARENT_LINK,
        command.link_id,
        lambda state: link.revoke(state, context.actor.id),
    )
    await write.access_applied.wait(outcome.stream_id, outcome.version)
    return outcome


async def _known(write: WriteSide, link_id: StreamId) -> Loaded[Link]:
    loaded = await write.streams.read(PARENT_LINK, link_id)
    if isinstance(loaded.state, Unrequested):
        raise LinkNotFound
    return loaded


async def _person(write: WriteSide, user_id: StreamId) -> Registered:
    account: Account = (await write.streams.read(USER, user_id)).state
    if not isinstance(account, Registered):
        raise UserNotFound
    return account
