"""Importing: what comes of the rows, a second time, with changes, with faults, and beside somebody else."""

import asyncio

import pytest

from commands.classes import CloseClass, OpenClass, close_class, open_class
from commands.kinds import CLASS, USER
from commands.roster import importing
from commands.roster.importing import ImportRoster, RemovalNotYours, import_roster
from commands.roster.oneroster import read_oneroster
from commands.roster.reading import read_table
from domain.classes.events import StudentEnrolled, StudentWithdrawn
from domain.classes.school_class import Open
from domain.organizations.events import OrganizationFounded
from domain.organizations.organization import OrganizationNotFound
from domain.users.account import Registered
from domain.users.events import ProfileChanged, RoleGranted, RoleLapsed, UserDeactivated, UserRegistered
from tests.support.exam_parts import SCHOOL
from tests.support.memory import World
from tests.support.rosters import a_table, archive, oneroster_files

OTHER_SCHOOL = "organization-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
THREE = (("1", "민지", "A"), ("2", "서연", "A"), ("3", "지우", "B"))


class Lists:
    """The read side without a lag."""

    def __init__(self, world):
        self.world = world

    async def _open(self, org_id):
        for class_id in self.world.log.streams("class"):
            state = (await self.world.write.streams.read(CLASS, class_id)).state
            if isinstance(state, Open) and state.org_id == org_id:
                yield class_id, state.students | state.teachers

    async def classes_of(self, user_id, org_id):
        return [class_id async for class_id, people in self._open(org_id) if user_id in people]

    async def in_classes(self, org_id):
        found = {}
        async for class_id, people in self._open(org_id):
            for user_id in people:
                found.setdefault(user_id, set()).add(class_id)
        return {user_id: frozenset(classes) for user_id, classes in found.items()}

    async def members_of(self, org_id):
        found = []
        for user_id in self.world.log.streams("user"):
            state = (await self.world.write.streams.read(USER, user_id)).state
            if isinstance(state, Registered) and any(each.org_id == org_id for each in state.roles):
                found.append(user_id)
        return found


class BlindLists(Lists):
    """The read side that has heard of nothing yet."""

    async def in_classes(self, _org_id):
        return {}


@pytest.fixture
def world():
    made = World()
    for org_id in (SCHOOL, OTHER_SCHOOL):
        made.record(org_id, OrganizationFounded(name="한빛고등학교", zone_id="univprep"), org_id=org_id)
    return made


def operator(world):
    return world.asked_by("command-line", kind="operator")


async def imported(world, *rows, roster=None, org_id=SCHOOL, write=None, lists=None, **order):
    roster = roster or read_table(a_table(*rows))
    command = ImportRoster(org_id=org_id, roster=roster, **order)
    lists = lists or Lists(world)
    return await import_roster(write or world.write, lists, operator(world), command)


def counts(done):
    return done.created, done.updated, done.unchanged, done.removed


async def school(world):
    """By reference: the name, the roles and the names of the classes of each person, as the log has them."""
    by_person = {}
    for user_id in world.log.streams("user"):
        state = (await world.write.streams.read(USER, user_id)).state
        first = world.log.events(user_id)[0]
        if isinstance(state, Registered):
            classes = await Lists(world).classes_of(user_id, state.org_id)
            names = [(await world.write.streams.read(CLASS, each)).state.name for each in classes]
            by_person[first.external_ref] = (
                state.display_name,
                sorted(each.role for each in state.roles),
                sorted(names),
            )
    return by_person


async def test_people_get_accounts_roles_and_classes(world):
    done = await imported(world, *THREE)
    assert counts(done) == (3, 0, 0, 0)
    assert (done.classes_opened, done.faults, done.withheld) == (2, (), False)
    assert await school(world) == {
        "1": ("민지", ["student"], ["A"]),
        "2": ("서연", ["student"], ["A"]),
        "3": ("지우", ["student"], ["B"]),
    }
    assert {recorded.metadata.org_id for recorded in world.log.all} == {SCHOOL, OTHER_SCHOOL}


async def test_the_same_file_again_adds_no_event(world):
    await imported(world, *THREE)
    before = len(world.log.all)
    done = await imported(world, *THREE, write=world.another_process())
    assert (counts(done), done.classes_opened, done.last) == ((0, 0, 3, 0), 0, None)
    assert len(world.log.all) == before


async def test_a_dry_run_says_what_would_happen_and_writes_nothing(world):
    await imported(world, *THREE)
    before, held = len(world.log.all), dict(world.claims.held)
    rows = (("1", "민지 김", "A"), ("2", "서연", "C"), ("3", "지우", "B"), ("4", "도윤", "C"))
    done = await imported(world, *rows, dry_run=True)
    assert (len(world.log.all), world.claims.held) == (before, held)
    really = await imported(world, *rows)
    assert counts(done) == counts(really) == (1, 2, 1, 0)
    assert done.classes_opened == really.classes_opened == 1


async def test_another_name_and_another_class_are_updates(world):
    await imported(world, *THREE)
    done = await imported(world, ("1", "김민지", "A"), ("2", "서연", "B"), ("3", "지우", ""))
    assert counts(done) == (0, 3, 0, 0)
    assert await school(world) == {
        "1": ("김민지", ["student"], ["A"]),
        "2": ("서연", ["student"], ["B"]),
        "3": ("지우", ["student"], []),
    }


async def test_a_language_that_the_file_does_not_say_stays_what_it_is(world):
    await imported(world, roster=read_table(a_table(("1", "Ada", "en"), header=("id", "name", "language"))))
    done = await imported(world, ("1", "Ada", "A"))
    [user_id] = world.log.streams("user")
    assert not [each for each in world.log.events(user_id) if isinstance(each, ProfileChanged)]
    assert counts(done) == (0, 1, 0, 0)


async def test_a_file_without_a_column_of_classes_moves_nobody(world):
    await imported(world, *THREE)
    done = await imported(
        world, roster=read_table(a_table(("1", "민지"), ("2", "서연"), header=("id", "name")))
    )
    assert counts(done) == (0, 0, 2, 0)
    assert (await school(world))["1"] == ("민지", ["student"], ["A"])


async def test_people_who_are_absent_stay_unless_they_are_to_be_removed(world):
    await imported(world, *THREE)
    assert counts(await imported(world, ("1", "민지", "A"))) == (0, 0, 1, 0)
    assert len(await school(world)) == 3
    assert counts(await imported(world, ("1", "민지", "A"), dry_run=True, remove_absent=True)) == (0, 0, 1, 2)
    assert counts(await imported(world, ("1", "민지", "A"), remove_absent=True)) == (0, 0, 1, 2)
    assert await school(world) == {
        "1": ("민지", ["student"], ["A"]),
        "2": ("서연", [], []),
        "3": ("지우", [], []),
    }
    assert counts(await imported(world, ("1", "민지", "A"), remove_absent=True)) == (0, 0, 1, 0)


async def test_who_was_removed_and_is_named_again_is_a_member_again(world):
    await imported(world, *THREE)
    await imported(world, ("1", "민지", "A"), remove_absent=True)
    assert counts(await imported(world, *THREE)) == (0, 2, 1, 0)
    assert (await school(world))["2"] == ("서연", ["student"], ["A"])


async def test_nobody_is_removed_whom_no_roster_can_have_brought(world):
    await imported(world, ("1", "민지", "A"))

    def person(number, **fields):
        user_id = f"user-01901646-a2b4-7c3d-8e5f-00000000000{number}"
        registered = UserRegistered(
            origin="organization", zone_id="univprep", display_name="다른 사람", language="ko", **fields
        )
        return user_id, registered

    with_password, invited, admin = (
        person(1, org_id=SCHOOL, credential_id="c"),
        person(2, org_id=None),
        person(3, org_id=SCHOOL),
    )
    world.record(*with_password, RoleGranted(role="teacher", org_id=SCHOOL))
    world.record(*invited, RoleGranted(role="student", org_id=SCHOOL))
    world.record(
        *admin, RoleGranted(role="teacher", org_id=SCHOOL), RoleGranted(role="org_admin", org_id=SCHOOL)
    )
    done = await imported(world, ("1", "민지", "A"), remove_absent=True)
    assert done.removed == 0
    assert not [each.event for each in world.log.all if isinstance(each.event, RoleLapsed)]


async def test_a_file_with_faults_takes_nothing_from_anybody_and_the_rest_of_it_counts(world):
    await imported(world, *THREE)
    done = await imported(
        world, ("1", "민지", "B"), ("", "누구", "A"), ("4", "도윤", "A"), remove_absent=True
    )
    assert done.withheld
    assert counts(done) == (1, 1, 0, 0)
    assert [(each.row, each.column) for each in done.faults] == [(3, "external_ref")]
    found = await school(world)
    assert found["1"] == ("민지", ["student"], ["A", "B"])
    assert (found["2"], found["4"]) == (("서연", ["student"], ["A"]), ("도윤", ["student"], ["A"]))


async def test_a_class_that_was_made_by_hand_is_left_alone(world):
    await imported(world, ("1", "민지", "A"))
    [user_id] = world.log.streams("user")
    by_hand = await open_class(world.write, operator(world), OpenClass(org_id=SCHOOL, name="Chess"))
    world.record(by_hand.stream_id, StudentEnrolled(user_id=user_id))
    done = await imported(world, ("1", "민지", "B"))
    assert counts(done) == (0, 1, 0, 0)
    assert (await school(world))["1"][2] == ["B", "Chess"]


async def test_a_class_of_the_file_is_left_even_where_the_read_side_has_heard_of_nothing(world):
    await imported(world, ("1", "민지", "A"), ("2", "서연", "B"))
    await imported(world, ("1", "민지", "B"), ("2", "서연", "A"), lists=BlindLists(world))
    found = await school(world)
    assert (found["1"][2], found["2"][2]) == (["B"], ["A"])


async def test_a_class_that_is_closed_is_a_fault_of_those_who_are_in_it(world):
    await imported(world, *THREE)
    [in_a, _] = world.log.streams("class")
    await close_class(
        world.write, operator(world), CloseClass(org_id=SCHOOL, class_id=in_a, reason="the year is over")
    )
    before = len(world.log.events(in_a))
    done = await imported(world, *THREE)
    assert [(each.row, each.code) for each in done.faults] == [(2, "class-closed"), (3, "class-closed")]
    assert (done.withheld, len(world.log.events(in_a))) == (True, before)


async def test_somebody_who_was_deactivated_is_a_fault_and_the_others_count(world):
    await imported(world, *THREE)
    first = world.log.streams("user")[0]
    world.record(first, UserDeactivated(reason="left"))
    done = await imported(world, *THREE, ("4", "도윤", "A"))
    assert [(each.row, each.code) for each in done.faults] == [(2, "person-deactivated")]
    assert counts(done) == (1, 0, 2, 0)


async def test_a_reference_is_one_of_the_organisation_alone(world):
    await imported(world, ("1", "민지", "A"))
    done = await imported(world, ("1", "지우", "A"), org_id=OTHER_SCHOOL)
    assert counts(done) == (1, 0, 0, 0)
    assert len(world.log.streams("user")) == len(world.log.streams("class")) == 2


async def test_teachers_teach_their_classes(world):
    roster = read_oneroster(archive(oneroster_files()))
    done = await imported(world, roster=roster)
    assert counts(done) == (4, 0, 0, 0)
    [first, second] = [
        (await world.write.streams.read(CLASS, each)).state for each in world.log.streams("class")
    ]
    assert [(first.name, len(first.teachers), len(first.students))] == [("1학년 1반", 1, 2)]
    assert [(second.name, len(second.teachers), len(second.students))] == [("1학년 2반", 0, 1)]
    assert counts(await imported(world, roster=roster)) == (0, 0, 4, 0)


async def test_a_class_of_another_title_is_renamed(world):
    await imported(world, roster=read_oneroster(archive(oneroster_files())))
    files = oneroster_files()
    files["classes.csv"] = files["classes.csv"].replace("1학년 2반", "1학년 3반")
    done = await imported(world, roster=read_oneroster(archive(files)))
    assert (done.classes_renamed, done.classes_opened) == (1, 0)
    assert counts(done) == (0, 0, 4, 0)


async def test_two_who_import_the_same_file_at_once_make_one_school(world):
    rows = [(str(number), f"이름 {number}", "AB"[number % 2]) for number in range(30)]
    two = [world.write, world.another_process()]
    done = await asyncio.gather(*(imported(world, *rows, write=write) for write in two))
    assert len(world.log.streams("user")) == 30
    assert len(world.log.streams("class")) == 2
    assert all(each.faults == () for each in done)
    assert counts(await imported(world, *rows)) == (0, 0, 30, 0)


async def test_somebody_who_is_faster_by_a_moment_costs_another_look_and_nothing_else(world):
    """The other process appends after this one has claimed the references and looked at the streams."""
    append, other = world.log.append, world.another_process()

    async def overtaken(appends):
        if any(each.stream_id.startswith("user-") for each in appends):
            world.log.append = append
            await imported(world, *THREE, write=other)
        await append(appends)

    world.log.append = overtaken
    done = await imported(world, ("1", "민지 김", "A"), *THREE[1:])
    assert counts(done) == (0, 1, 2, 0)
    assert world.log.conflicts == 1
    assert (await school(world))["1"] == ("민지 김", ["student"], ["A"])


async def test_an_import_that_died_is_done_by_the_next_one_and_no_row_is_half_there(world):
    rows = [(str(number), f"이름 {number}", "A") for number in range(250)]
    await imported(world, ("0", "이름 0", "A"))
    world.log.fail_after_the_next_append(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await imported(world, *rows)
    found = await school(world)
    assert {len(roles) for _, roles, _ in found.values()} == {1}
    assert {tuple(classes) for _, _, classes in found.values()} == {("A",)}
    done = await imported(world, *rows)
    assert sum(counts(done)) == 250
    assert len(await school(world)) == 250


async def test_who_leaves_a_class_is_gone_from_it_for_every_reader_before_the_answer(world):
    waited = []

    class Waiting:
        async def wait(self, stream_id, version):
            waited.append((stream_id, version, type(world.log.events(stream_id)[version - 1])))

    await imported(world, ("1", "민지", "A"))
    object.__setattr__(world.write, "access_applied", Waiting())
    await imported(world, ("1", "민지", "B"))
    [in_a, _] = world.log.streams("class")
    assert waited == [(in_a, len(world.log.events(in_a)), StudentWithdrawn)]


async def test_only_those_who_run_the_organisation_import_into_it(world):
    command = ImportRoster(org_id=SCHOOL, roster=read_table(a_table(*THREE)))
    strangers = [world.asked_by("user-x"), world.teacher(), world.program(OTHER_SCHOOL)]
    for stranger in strangers:
        with pytest.raises(OrganizationNotFound):
            await import_roster(world.write, Lists(world), stranger, command)
    done = await import_roster(world.write, Lists(world), world.program(), command)
    assert done.created == 3


async def test_an_import_ends_where_whoever_began_it_runs_the_organisation_no_longer(world, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_SIZE", 1)
    head = world.given_user(world.fresh_id("user"))
    world.record(head, RoleGranted(role="org_admin", org_id=SCHOOL))
    append = world.log.append

    async def dismissed(appends):
        await append(appends)
        if any(each.stream_id.startswith("user-") for each in appends):
            world.record(head, RoleLapsed(role="org_admin", org_id=SCHOOL, reason="removed"))

    world.log.append = dismissed
    command = ImportRoster(org_id=SCHOOL, roster=read_table(a_table(*THREE)))
    with pytest.raises(OrganizationNotFound):
        await import_roster(world.write, Lists(world), world.asked_by(head), command)
    assert set(world.log.streams("user")) - {head} == {world.log.streams("user")[1]}


async def test_a_program_removes_nobody(world):
    command = ImportRoster(org_id=SCHOOL, roster=read_table(a_table(*THREE)), remove_absent=True)
    with pytest.raises(RemovalNotYours):
        await import_roster(world.write, Lists(world), world.program(), command)
    assert world.log.streams("user") == []
