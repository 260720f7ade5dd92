"""What a batch of roster rows makes of people and classes: decided from their streams, appended at once."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from commands.classes import Part
from commands.context import CommandContext
from commands.enrol_examinees import EXAMINEE_SCOPE, examinee_key
from commands.kinds import CLASS, USER
from commands.ports import VersionConflict
from commands.roster.roster import RosterPerson, RowFault
from commands.streams import MAX_TRIES, Loaded
from commands.write_side import WriteSide
from domain.classes import school_class
from domain.classes.school_class import Open, SchoolClass
from domain.events import Event
from domain.identifiers import StreamId, stream_id
from domain.languages import Language
from domain.users import account
from domain.users.account import Account, Deactivated, GrantedRole, Registered, Unregistered
from domain.users.events import UserRegistered
from domain.zones import ZoneId

AT_ONCE: Final = 32
"""Streams that are read side by side."""
DEFAULT_LANGUAGE: Final[Language] = "ko"

Append: TypeAlias = tuple[StreamId, int, list[Event]]
Status: TypeAlias = Literal["created", "updated", "unchanged", "invalid"]


class Place(msgspec.Struct, frozen=True):
    """The organisation that a roster is for, and the order to import it."""

    org_id: StreamId
    zone_id: ZoneId
    context: CommandContext


class Decided(msgspec.Struct, frozen=True):
    """What becomes of each person, in their order, and what is to be appended for that."""

    statuses: tuple[Status, ...]
    user_ids: tuple[StreamId, ...]
    appends: tuple[Append, ...]
    withdrawn_from: frozenset[StreamId]
    faults: tuple[RowFault, ...]


async def take_in(  # noqa: PLR0913 - the rows, and what was found out about all of them
    write: WriteSide,
    place: Place,
    people: Sequence[RosterPerson],
    class_ids: Mapping[str, StreamId],
    leaving: Mapping[StreamId, frozenset[StreamId]],
    *,
    dry_run: bool,
) -> Decided:
    """Appends what the rows of these people make of them and of their classes: all of it, or nothing.

    Args:
        write: the write side.
        place: the organisation.
        people: the rows.
        class_ids: the open classes by their external ids; others are passed over.
        leaving: the classes of rosters that each person may be taken out of, where they are not named.
        dry_run: only says what would happen.

    Raises `VersionConflict` where others were faster too many times in a row.
    """
    keys = [examinee_key(write, place.org_id, person.external_ref) for person in people]
    wanted = [stream_id("user", write.new_id()) for _ in people]
    if dry_run:
        held = await write.claims.holders(EXAMINEE_SCOPE, keys)
        user_ids = [found or mine for found, mine in zip(held, wanted, strict=True)]
    else:
        user_ids = await write.claims.claim(EXAMINEE_SCOPE, keys, wanted)
    for _ in range(MAX_TRIES):
        # Only a stream that was claimed before can exist: new ones need no look.
        known = await _accounts(
            write, [each for each, mine in zip(user_ids, wanted, strict=True) if each != mine]
        )
        named = {class_ids[each] for person in people for each in person.classes if each in class_ids}
        left = {each for user_id in user_ids for each in leaving.get(user_id, ())}
        classes = {each: await write.streams.read(CLASS, each) for each in sorted(named | left)}
        decided = _decide(write, place, people, user_ids, known, class_ids, classes, leaving)
        if dry_run or not decided.appends:
            return decided
        try:
            await write.streams.execute_many(place.context, decided.appends)
        except VersionConflict:
            # Somebody changes the same people or classes at this moment: look at every stream.
            wanted = [""] * len(wanted)
            continue
        return decided
    raise VersionConflict


async def _accounts(write: WriteSide, user_ids: Sequence[StreamId]) -> dict[StreamId, Loaded[Account]]:
    found: dict[StreamId, Loaded[Account]] = {}
    for start in range(0, len(user_ids), AT_ONCE):
        some = user_ids[start : start + AT_ONCE]
        loaded = await asyncio.gather(*(write.streams.read(USER, each) for each in some))
        found |= dict(zip(some, loaded, strict=True))
    return found


def _decide(  # noqa: PLR0913, PLR0917 - all that was found out about a batch
    write: WriteSide,
    place: Place,
    people: Sequence[RosterPerson],
    user_ids: Sequence[StreamId],
    known: Mapping[StreamId, Loaded[Account]],
    class_ids: Mapping[str, StreamId],
    classes: Mapping[StreamId, Loaded[SchoolClass]],
    leaving: Mapping[StreamId, frozenset[StreamId]],
) -> Decided:
    moves = _Moves(classes)
    statuses: list[Status] = []
    appends: list[Append] = []
    faults: list[RowFault] = []
    for person, user_id in zip(people, user_ids, strict=True):
        loaded = known.get(user_id)
        state, version = (Unregistered(), 0) if loaded is None else (loaded.state, loaded.version)
        if isinstance(state, Deactivated):
            detail = "This person's account was deactivated."
            faults.append(RowFault(row=person.row, column="", code="person-deactivated", detail=detail))
            statuses.append("invalid")
            continue
        events = _of_person(write, place, person, state)
        if events:
            appends.append((user_id, version, events))
        mine = {class_ids[each] for each in person.classes if each in class_ids}
        moved = moves.into(mine, user_id, person.role)
        moved |= moves.out_of(leaving.get(user_id, frozenset()) - mine, user_id)
        created = isinstance(state, Unregistered)
        statuses.append("created" if created else "updated" if events or moved else "unchanged")
    return Decided(
        tuple(statuses),
        tuple(user_ids),
        (*appends, *moves.appends()),
        moves.withdrawn_from(),
        tuple(faults),
    )


def _of_person(
    write: WriteSide, place: Place, person: RosterPerson, state: Unregistered | Registered
) -> list[Event]:
    if isinstance(state, Unregistered):
        registered = UserRegistered(
            origin="organization",
            zone_id=place.zone_id,
            display_name=person.display_name,
            language=person.language or DEFAULT_LANGUAGE,
            org_id=place.org_id,
            external_ref=person.external_ref,
            email=person.email,
        )
        return account.register(state, registered, [GrantedRole(person.role, place.org_id)])
    return [
        *account.change_profile(state, person.display_name, person.language),
        *account.grant_role(state, person.role, place.org_id, write.clock()),
    ]


class _Moves:
    """Who goes into which class of a batch, and who leaves it."""

    def __init__(self, classes: Mapping[StreamId, Loaded[SchoolClass]]) -> None:
        self._classes = classes
        self._in: dict[tuple[StreamId, Part], list[StreamId]] = {}
        self._out: dict[StreamId, list[StreamId]] = {}

    def into(self, class_ids: set[StreamId], user_id: StreamId, part: Part) -> bool:
        """Whether that changes anything."""
        moved = False
        for class_id in class_ids:
            match self._classes[class_id].state:
                case Open() as state:
                    there = state.students if part == "student" else state.teachers
                    if user_id not in there:
                        self._in.setdefault((class_id, part), []).append(user_id)
                        moved = True
                case school_class.Unopened():
                    moved = True  # a dry run opens nothing
                case school_class.Closed():
                    pass  # since a moment ago: the next import says so
        return moved

    def out_of(self, class_ids: frozenset[StreamId] | set[StreamId], user_id: StreamId) -> bool:
        moved = False
        for class_id in class_ids:
            state = self._classes[class_id].state
            if isinstance(state, Open) and user_id in state.students | state.teachers:
                self._out.setdefault(class_id, []).append(user_id)
                moved = True
        return moved

    def appends(self) -> list[Append]:
        found: list[Append] = []
        for class_id in sorted({each for each, _ in self._in} | self._out.keys()):
            loaded = self._classes[class_id]
            gone = self._out.get(class_id, [])
            events: list[Event] = [
                *school_class.enroll_students(loaded.state, self._in.get((class_id, "student"), [])),
                *school_class.assign_teachers(loaded.state, self._in.get((class_id, "teacher"), [])),
                *school_class.withdraw_students(loaded.state, gone),
                *school_class.withdraw_teachers(loaded.state, gone),
            ]
            found.append((class_id, loaded.version, events))
        return found

    def withdrawn_from(self) -> frozenset[StreamId]:
        return frozenset(self._out)
