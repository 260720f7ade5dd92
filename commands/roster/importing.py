"""Import a roster: right rows take effect, wrong ones are named, and the same file twice changes nothing.

People are known by the organisation's own reference, classes by its own id of them. What was made by hand,
under no such reference, is left alone; and nothing is taken from anybody on the word of a file with faults.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from commands.classes import (
    OpenClass,
    RenameClass,
    class_of_external_id,
    open_class,
    rename_class,
)
from commands.context import CommandContext
from commands.kinds import CLASS, USER
from commands.members import ClassLists, RemoveMember, remove_member
from commands.organizations import administered
from commands.roster.batches import Place, Status, take_in
from commands.roster.roster import Roster, RosterPerson, RowFault
from commands.write_side import WriteSide
from domain.classes.school_class import ClassExists, Closed, Open
from domain.errors import Denied
from domain.identifiers import StreamId, stream_id
from domain.users.account import Registered

BATCH_SIZE: Final = 200
"""People in one append: what is lost of the work when somebody else changes one of them."""
ROSTER_ROLES: Final = frozenset({"student", "teacher"})


class RemovalNotYours(Denied):
    """Programs import people; to remove those who are absent takes an administrator of the organisation."""

    code = "removal-not-yours"
    title = "Removing people is for administrators of the organisation"


class RosterLists(ClassLists, Protocol):
    """Who belongs to an organisation, as the read side has it. It may lag."""

    async def members_of(self, org_id: StreamId) -> Sequence[StreamId]:
        """Everybody who holds a role there."""
        ...

    async def in_classes(self, org_id: StreamId) -> Mapping[StreamId, frozenset[StreamId]]:
        """The open classes that each of them is in, as a student or a teacher."""
        ...


class ImportRoster(msgspec.Struct, frozen=True, kw_only=True):
    """`remove_absent`: whoever an earlier roster brought and this one does not name is a member no longer."""

    org_id: StreamId
    roster: Roster
    dry_run: bool = False
    remove_absent: bool = False


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, or would be. `last` is the newest event that came of it.

    `withheld`: the file has faults, so nobody was taken out of a class or removed.
    """

    created: int
    updated: int
    unchanged: int
    removed: int
    classes_opened: int
    classes_renamed: int
    faults: tuple[RowFault, ...]
    withheld: bool
    last: tuple[StreamId, int] | None


async def import_roster(
    write: WriteSide, lists: RosterLists, context: CommandContext, command: ImportRoster
) -> Imported:
    """Raises `OrganizationNotFound`, `RemovalNotYours`, `AccessNotApplied`.

    Stopped at any point, also because the right to it is lost, it can be run again, and does the rest.
    """
    administration = await administered(write, context, command.org_id, services=True)
    if command.remove_absent and context.actor.kind == "service":
        raise RemovalNotYours
    # The streams are asked what is done already: a key of the request need not be.
    context = msgspec.structs.replace(administration.context(context), repeatable=False)
    place = Place(command.org_id, administration.organization.zone_id, context)
    return await _Import(write, lists, place, command).run()


class _Import:
    """One import under way."""

    def __init__(self, write: WriteSide, lists: RosterLists, place: Place, command: ImportRoster) -> None:
        self._write = write
        self._lists = lists
        self._place = place
        self._command = command
        self._roster = command.roster
        self._faults = list(command.roster.faults)
        self._counts: dict[Status, int] = dict.fromkeys(("created", "updated", "unchanged", "invalid"), 0)
        self._class_ids: dict[str, StreamId] = {}
        self._opened = self._renamed = 0
        self._last: tuple[StreamId, int] | None = None
        self._seen: set[StreamId] = set()
        self._withdrawn: dict[StreamId, int] = {}

    async def run(self) -> Imported:
        for external_id, name in self._roster.classes.items():
            await self._know_class(external_id, name)
        sure = not self._faults
        leaving: Mapping[StreamId, frozenset[StreamId]] = {}
        if sure and self._roster.knows_classes:
            leaving = await self._roster_classes()
        people = self._roster.people
        for start in range(0, len(people), BATCH_SIZE):
            await self._take_in(people[start : start + BATCH_SIZE], leaving)
        for class_id, version in sorted(self._withdrawn.items()):
            await self._write.access_applied.wait(class_id, version)
        removed = await self._remove_absent() if sure and self._command.remove_absent else 0
        return Imported(
            created=self._counts["created"],
            updated=self._counts["updated"],
            unchanged=self._counts["unchanged"],
            removed=removed,
            classes_opened=self._opened,
            classes_renamed=self._renamed,
            faults=tuple(sorted(self._faults, key=lambda each: (each.file, each.row, each.column))),
            withheld=not sure,
            last=self._last,
        )

    async def _know_class(self, external_id: str, name: str) -> None:
        """Opens the class, or gives it its new name; one that is closed is a fault of those who are in it."""
        org_id, dry_run = self._place.org_id, self._command.dry_run
        class_id = await class_of_external_id(self._write, org_id, external_id)
        state = None if class_id is None else (await self._write.streams.read(CLASS, class_id)).state
        if isinstance(state, Closed):
            detail = f"The class {external_id} is closed."
            self._faults += [
                RowFault(row=person.row, column="class", code="class-closed", detail=detail)
                for person in self._roster.people
                if external_id in person.classes
            ]
            return
        if class_id is not None and isinstance(state, Open):
            if state.name != name:
                self._renamed += 1
                if not dry_run:
                    renaming = RenameClass(org_id=org_id, class_id=class_id, name=name)
                    renamed = await rename_class(self._write, self._order(), renaming)
                    self._last = (class_id, renamed.version)
        else:
            self._opened += 1
            class_id = (
                stream_id("class", self._write.new_id()) if dry_run else await self._open(external_id, name)
            )
        self._class_ids[external_id] = class_id

    async def _open(self, external_id: str, name: str) -> StreamId:
        opening = OpenClass(org_id=self._place.org_id, name=name, external_id=external_id)
        try:
            opened = await open_class(self._write, self._order(), opening)
        except ClassExists as exists:
            found: StreamId = exists.class_id  # somebody else has opened it meanwhile
            return found
        self._last = (opened.stream_id, opened.version)
        return opened.stream_id

    async def _roster_classes(self) -> dict[StreamId, frozenset[StreamId]]:
        """Of each person the classes that a roster could have put them into."""
        streams = self._write.streams
        by_person = {
            user_id: set(each) for user_id, each in (await self._lists.in_classes(self._place.org_id)).items()
        }
        # The lists may lag; of the classes in the file the streams themselves are asked.
        for class_id in self._class_ids.values():
            state = (await streams.read(CLASS, class_id)).state
            if isinstance(state, Open):
                for user_id in state.students | state.teachers:
                    by_person.setdefault(user_id, set()).add(class_id)
        of_rosters = set()
        for class_id in {each for classes in by_person.values() for each in classes}:
            state = (await streams.read(CLASS, class_id)).state
            if isinstance(state, Open) and state.external_id is not None:
                of_rosters.add(class_id)
        return {user_id: frozenset(each & of_rosters) for user_id, each in by_person.items()}

    async def _take_in(
        self, people: Sequence[RosterPerson], leaving: Mapping[StreamId, frozenset[StreamId]]
    ) -> None:
        # A long import may outlive the right to make it.
        await administered(self._write, self._place.context, self._place.org_id, services=True)
        decided = await take_in(
            self._write, self._place, people, self._class_ids, leaving, dry_run=self._command.dry_run
        )
        for status in decided.statuses:
            self._counts[status] += 1
        self._faults += decided.faults
        self._seen.update(decided.user_ids)
        if self._command.dry_run or not decided.appends:
            return
        versions = {stream: version + len(events) for stream, version, events in decided.appends}
        self._last = list(versions.items())[-1]
        self._withdrawn |= {class_id: versions[class_id] for class_id in decided.withdrawn_from}

    async def _remove_absent(self) -> int:
        """Of those whom a roster can have brought: enrolled here, without a way of their own to sign in."""
        org_id, removed = self._place.org_id, 0
        for user_id in await self._lists.members_of(org_id):
            if user_id in self._seen:
                continue
            state = (await self._write.streams.read(USER, user_id)).state
            if not isinstance(state, Registered) or state.org_id != org_id or state.credential_id is not None:
                continue
            held = {each.role for each in state.roles if each.org_id == org_id}
            if not held or not held <= ROSTER_ROLES:
                continue
            removed += 1
            if not self._command.dry_run:
                removal = RemoveMember(org_id=org_id, user_id=user_id)
                outcome = await remove_member(self._write, self._lists, self._order(), removal)
                self._last = (outcome.stream_id, outcome.version)
        return removed

    def _order(self) -> CommandContext:
        """One of the orders that this one is made of."""
        return msgspec.structs.replace(self._place.context, command_id=self._write.new_id())
