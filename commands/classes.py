"""Classes: opened in an organisation, filled with its members, renamed, closed.

Only members are in classes: students of the organisation in the one part, its teachers and tutors in the
other. That is looked at before somebody is put into a class and once more afterwards, since a membership may
end in between. Whoever is in a class all the same is found and taken out by `commands.reactions.memberships`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from commands.context import CommandContext
from commands.kinds import CLASS, USER
from commands.organizations import Administered, administered
from commands.streams import Loaded, Outcome
from commands.write_side import WriteSide
from domain.classes import school_class
from domain.classes.events import ClassOpened
from domain.classes.school_class import ClassExists, ClassNotFound, SchoolClass, organization_of
from domain.events import Event
from domain.identifiers import StreamId, stream_id
from domain.users.account import Account, Registered
from domain.zones import Role

CLASS_SCOPE = "class"
AT_ONCE = 32
"""Accounts that are looked at side by side."""

Part: TypeAlias = Literal["student", "teacher"]
"""What somebody is in a class."""

ROLES_OF_PART: dict[Part, tuple[Role, ...]] = {"student": ("student",), "teacher": ("teacher", "tutor")}


class OpenClass(msgspec.Struct, frozen=True, kw_only=True):
    """`external_id` is the organisation's own name for the class, unique among its classes."""

    org_id: StreamId
    name: str
    external_id: str | None = None


class RenameClass(msgspec.Struct, frozen=True, kw_only=True):
    org_id: StreamId
    class_id: StreamId
    name: str
    expected_version: int | None = None


class CloseClass(msgspec.Struct, frozen=True, kw_only=True):
    org_id: StreamId
    class_id: StreamId
    reason: str
    expected_version: int | None = None


class ClassPeople(msgspec.Struct, frozen=True, kw_only=True):
    """Put these people into a class, or take them out of it, as students or as teachers."""

    org_id: StreamId
    class_id: StreamId
    part: Part
    user_ids: tuple[StreamId, ...]
    expected_version: int | None = None


class Placed(msgspec.Struct, frozen=True):
    """What became of one person.

    `not_a_member` is said of everybody who does not hold a fitting role in the organisation, whether or not
    there is such a person.
    """

    user_id: StreamId
    status: Literal["added", "present", "not_a_member", "removed", "absent"]


class ClassChanged(msgspec.Struct, frozen=True):
    outcome: Outcome[SchoolClass]
    people: tuple[Placed, ...]
    """In the order asked for, each of them once."""


async def class_of_external_id(write: WriteSide, org_id: StreamId, external_id: str) -> StreamId | None:
    """The class of this name in the organisation; also one that is about to be opened or is closed."""
    return await write.claims.holder(CLASS_SCOPE, _key(write, org_id, external_id))


async def open_class(write: WriteSide, context: CommandContext, command: OpenClass) -> Outcome[SchoolClass]:
    """Raises `OrganizationNotFound`, `ClassExists`."""
    place = await administered(write, context, command.org_id, services=True)
    class_id = stream_id("class", context.command_id)
    if command.external_id is not None:
        key = _key(write, command.org_id, command.external_id)
        [class_id] = await write.claims.claim(CLASS_SCOPE, [key], [class_id])
    opened = ClassOpened(
        org_id=command.org_id,
        zone_id=place.organization.zone_id,
        name=command.name,
        external_id=command.external_id,
    )
    try:
        return await write.streams.execute(
            place.context(context), CLASS, class_id, lambda state: school_class.open_class(state, opened)
        )
    except ClassExists:
        raise ClassExists(class_id=class_id) from None


async def rename_class(
    write: WriteSide, context: CommandContext, command: RenameClass
) -> Outcome[SchoolClass]:
    """Raises `OrganizationNotFound`, `ClassNotFound`, `ClassIsClosed`, `StaleVersion`."""
    place = await administered(write, context, command.org_id, services=True)
    await _class_of(write, command.org_id, command.class_id)
    return await write.streams.execute(
        place.context(context),
        CLASS,
        command.class_id,
        lambda state: school_class.rename(state, command.name),
        expected_version=command.expected_version,
    )


async def close_class(write: WriteSide, context: CommandContext, command: CloseClass) -> Outcome[SchoolClass]:
    """Its teachers' next look finds none of its students: it returns when that is so.

    Raises `OrganizationNotFound`, `ClassNotFound`, `StaleVersion`, `AccessNotApplied`.
    """
    place = await administered(write, context, command.org_id, services=True)
    await _class_of(write, command.org_id, command.class_id)
    outcome = await write.streams.execute(
        place.context(context),
        CLASS,
        command.class_id,
        lambda state: school_class.close(state, command.reason),
        expected_version=command.expected_version,
    )
    await write.access_applied.wait(outcome.stream_id, outcome.version)
    return outcome


async def add_to_class(write: WriteSide, context: CommandContext, command: ClassPeople) -> ClassChanged:
    """Members are put into the class; the rest is said to be no members, and changes nothing for the others.

    Raises `OrganizationNotFound`, `ClassNotFound`, `ClassIsClosed`, `StaleVersion`.
    """
    place = await administered(write, context, command.org_id, services=True)
    await _class_of(write, command.org_id, command.class_id)
    roles = ROLES_OF_PART[command.part]
    asked = tuple(dict.fromkeys(command.user_ids))
    members = await members_among(write, command.org_id, asked, roles)
    wanted = [each for each in asked if each in members]
    decide = school_class.enroll_students if command.part == "student" else school_class.assign_teachers
    outcome = await _decided(write, place, context, command, lambda state: decide(state, wanted))
    added = _named_in(outcome.events)
    if added:
        # A membership that ended meanwhile may have looked for this class before they were in it.
        left = added - await members_among(write, command.org_id, tuple(added), roles)
        for user_id in sorted(left):
            outcome = await take_out_of_class(
                write, place.context(context), command.class_id, user_id, (command.part,)
            )
        members -= left
    return ClassChanged(
        outcome,
        tuple(
            Placed(each, "not_a_member" if each not in members else "added" if each in added else "present")
            for each in asked
        ),
    )


async def withdraw_from_class(
    write: WriteSide, context: CommandContext, command: ClassPeople
) -> ClassChanged:
    """Their teachers' (or the teachers' own) next look finds them no more: it returns when that is so.

    Raises `OrganizationNotFound`, `ClassNotFound`, `ClassIsClosed`, `StaleVersion`, `AccessNotApplied`.
    """
    place = await administered(write, context, command.org_id, services=True)
    await _class_of(write, command.org_id, command.class_id)
    asked = tuple(dict.fromkeys(command.user_ids))
    decide = school_class.withdraw_students if command.part == "student" else school_class.withdraw_teachers
    outcome = await _decided(write, place, context, command, lambda state: decide(state, asked))
    # Also where nobody was in it: whoever took them out before may have been stopped at this point.
    await write.access_applied.wait(outcome.stream_id, outcome.version)
    removed = _named_in(outcome.events)
    return ClassChanged(
        outcome, tuple(Placed(each, "removed" if each in removed else "absent") for each in asked)
    )


async def take_out_of_class(
    write: WriteSide,
    context: CommandContext,
    class_id: StreamId,
    user_id: StreamId,
    parts: Sequence[Part] = ("student", "teacher"),
) -> Outcome[SchoolClass]:
    """Of somebody who is no member any more; a class that is closed stays as it was. It waits for nothing."""
    # Another command's events in the same stream: not the outcome of this one.
    alone = msgspec.structs.replace(context, repeatable=False)
    return await write.streams.execute(
        alone,
        CLASS,
        class_id,
        lambda state: school_class.take_out(
            state, user_id, student="student" in parts, teacher="teacher" in parts
        ),
    )


async def members_among(
    write: WriteSide, org_id: StreamId, user_ids: Sequence[StreamId], roles: Sequence[Role]
) -> set[StreamId]:
    """Those who hold one of the roles in the organisation now."""
    found: set[StreamId] = set()
    for start in range(0, len(user_ids), AT_ONCE):
        some = user_ids[start : start + AT_ONCE]
        accounts = await asyncio.gather(*(write.streams.read(USER, each) for each in some))
        found |= {
            each
            for each, account in zip(some, accounts, strict=True)
            if holds_one_of(account.state, org_id, roles)
        }
    return found


def holds_one_of(account: Account, org_id: StreamId, roles: Sequence[Role]) -> bool:
    return isinstance(account, Registered) and any(account.role(role, org_id) is not None for role in roles)


async def _class_of(write: WriteSide, org_id: StreamId, class_id: StreamId) -> Loaded[SchoolClass]:
    loaded = await write.streams.read(CLASS, class_id)
    if organization_of(loaded.state) != org_id:
        raise ClassNotFound
    return loaded


async def _decided(
    write: WriteSide,
    place: Administered,
    context: CommandContext,
    command: ClassPeople,
    decide: Callable[[SchoolClass], list[Event]],
) -> Outcome[SchoolClass]:
    return await write.streams.execute(
        place.context(context), CLASS, command.class_id, decide, expected_version=command.expected_version
    )


def _named_in(events: Sequence[Event]) -> set[StreamId]:
    return {user_id for each in events if (user_id := getattr(each, "user_id", None)) is not None}


def _key(write: WriteSide, org_id: StreamId, external_id: str) -> str:
    return write.keyed_hash(f"{org_id}|{external_id}")
