"""Roles are granted, confirmed and taken away: by whom, and what losing one does."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from commands.context import CommandContext
from commands.deactivate_user import DeactivateUser, deactivate_user
from commands.kinds import USER
from commands.ports import AccessNotApplied
from commands.roles import (
    ChangeRole,
    confirm_role,
    end_role,
    give_role,
    grant_role,
    lapse_unconfirmed,
    take_role_away,
)
from domain.errors import DomainError
from domain.identifiers import stream_id
from domain.organizations.events import OrganizationFounded
from domain.organizations.organization import OrganizationNotFound
from domain.users.account import (
    GrantedRole,
    Registered,
    RoleNotHeld,
    Unregistered,
    UserIsDeactivated,
    UserNotFound,
    evolve,
)
from domain.users.events import RoleConfirmed, RoleGranted, RoleLapsed, UserDeactivated, UserRegistered
from domain.users.role_rules import (
    OrganizationOfAnotherZone,
    OwnRoles,
    RoleNotGrantable,
    RoleNotYoursToChange,
)
from tests.support.exam_parts import NOON, OTHER_SCHOOL, SCHOOL, uuid7
from tests.support.memory import World

ROOT, OTHER_ROOT, KEEPER, HEAD, TEACHER, STRANGER = (stream_id("user", uuid7(0x20 + n)) for n in range(6))
ELSEWHERE = stream_id("organization", uuid7(0x40))


class Waited:
    """Notes what was waited for, and which tokens were refused, in the order in which it happened."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int]] = []

    async def wait(self, stream: str, version: int) -> None:
        self.calls.append(("applied", stream, version))

    async def end_older(self, subject: str, version: int) -> None:
        self.calls.append(("refused", subject, version))


@pytest.fixture
def waited():
    return Waited()


@pytest.fixture
def world(waited):
    """Two system administrators, one of a zone, the head of a school, a teacher there, and a stranger."""
    world = World()
    world.write = replace(world.write, access_applied=waited, older_tokens=waited)
    for org_id, zone_id in ((SCHOOL, "univprep"), (OTHER_SCHOOL, "univprep"), (ELSEWHERE, "kzone")):
        world.record(org_id, OrganizationFounded(name="School", zone_id=zone_id), org_id=org_id)
    for user_id, role, org_id in (
        (ROOT, "sys_admin", None),
        (OTHER_ROOT, "sys_admin", None),
        (KEEPER, "zone_admin", None),
        (HEAD, "org_admin", SCHOOL),
        (TEACHER, "teacher", SCHOOL),
        (STRANGER, "student", None),
    ):
        world.given_user(user_id, org_id=org_id)
        world.record(user_id, RoleGranted(role=role, org_id=org_id), org_id=org_id)
    return world


def run(awaitable):
    return asyncio.run(awaitable)


def held(world: World, user_id: str) -> set[tuple[str, str | None]]:
    account = run(world.write.streams.read(USER, user_id)).state
    assert isinstance(account, Registered)
    return {(each.role, each.org_id) for each in account.roles}


def asked_by(world: World, user_id: str) -> CommandContext:
    return world.asked_by(user_id)


def change(user_id: str, role: str, org_id: str | None = None) -> ChangeRole:
    return ChangeRole(user_id=user_id, role=role, org_id=org_id)


def test_a_system_administrator_makes_another_one_and_the_event_says_when(world):
    granted = run(grant_role(world.write, asked_by(world, ROOT), change(STRANGER, "sys_admin")))
    assert granted.events == (RoleGranted(role="sys_admin", granted_at=NOON),)
    assert granted.state.role("sys_admin", None) == GrantedRole("sys_admin", None, NOON)


def test_an_organisations_administrator_gives_and_takes_roles_there(world):
    asked = asked_by(world, HEAD)
    run(grant_role(world.write, asked, change(TEACHER, "org_admin", SCHOOL)))
    assert held(world, TEACHER) == {("teacher", SCHOOL), ("org_admin", SCHOOL)}
    run(take_role_away(world.write, asked, change(TEACHER, "teacher", SCHOOL)))
    assert held(world, TEACHER) == {("org_admin", SCHOOL)}


def test_a_role_that_is_held_is_not_granted_twice(world):
    asked, twice = asked_by(world, ROOT), change(TEACHER, "teacher", SCHOOL)
    assert run(grant_role(world.write, asked, twice)).events == ()
    assert held(world, TEACHER) == {("teacher", SCHOOL)}


@pytest.mark.parametrize("how", [grant_role, confirm_role, take_role_away])
@pytest.mark.parametrize(
    ("asker", "user_id", "role", "org_id", "refusal"),
    [
        (ROOT, ROOT, "sys_admin", None, OwnRoles),
        (ROOT, ROOT, "teacher", SCHOOL, OwnRoles),
        (HEAD, HEAD, "teacher", SCHOOL, OwnRoles),
        (KEEPER, KEEPER, "sys_admin", None, RoleNotYoursToChange),
        (KEEPER, STRANGER, "zone_admin", None, RoleNotYoursToChange),
        (KEEPER, TEACHER, "teacher", SCHOOL, RoleNotYoursToChange),
        (HEAD, TEACHER, "sys_admin", None, RoleNotYoursToChange),
        (HEAD, TEACHER, "zone_admin", None, RoleNotYoursToChange),
        (HEAD, TEACHER, "student", None, RoleNotYoursToChange),
        (HEAD, TEACHER, "teacher", OTHER_SCHOOL, RoleNotYoursToChange),
        (HEAD, STRANGER, "teacher", SCHOOL, UserNotFound),
        (TEACHER, STRANGER, "student", SCHOOL, RoleNotYoursToChange),
        (STRANGER, TEACHER, "teacher", SCHOOL, RoleNotYoursToChange),
        (ROOT, STRANGER, "service", SCHOOL, RoleNotGrantable),
        (ROOT, STRANGER, "sys_admin", SCHOOL, RoleNotGrantable),
        (ROOT, STRANGER, "zone_admin", SCHOOL, RoleNotGrantable),
        (ROOT, stream_id("user", uuid7(0x77)), "teacher", SCHOOL, UserNotFound),
    ],
)
def test_nobody_changes_roles_that_are_not_theirs_to_change(  # noqa: PLR0917 - one case
    world, how, asker, user_id, role, org_id, refusal
):
    before = len(world.log.all)
    with pytest.raises(refusal):
        run(how(world.write, asked_by(world, asker), change(user_id, role, org_id)))
    assert len(world.log.all) == before


def test_a_role_needs_an_organisation_that_exists_in_the_persons_zone(world):
    asked = asked_by(world, ROOT)
    with pytest.raises(OrganizationNotFound):
        run(
            grant_role(
                world.write, asked, change(STRANGER, "teacher", stream_id("organization", uuid7(0x78)))
            )
        )
    with pytest.raises(OrganizationOfAnotherZone):
        run(grant_role(world.write, asked, change(STRANGER, "teacher", ELSEWHERE)))


def test_the_roles_of_now_decide_and_not_those_that_a_token_names(world):
    world.record(HEAD, RoleLapsed(role="org_admin", org_id=SCHOOL, reason="removed"))
    # The context still names the school, as that of a token of a minute ago does.
    asked = world.asked_by(HEAD, staff_of=[SCHOOL])
    with pytest.raises(RoleNotYoursToChange):
        run(take_role_away(world.write, asked, change(TEACHER, "teacher", SCHOOL)))


def test_a_deactivated_account_is_given_nothing(world):
    world.record(TEACHER, UserDeactivated(reason="left the school"))
    with pytest.raises(UserIsDeactivated):
        run(grant_role(world.write, asked_by(world, ROOT), change(TEACHER, "teacher", SCHOOL)))


@pytest.mark.parametrize("how", [grant_role, confirm_role, take_role_away])
@pytest.mark.parametrize("asker", [HEAD, KEEPER, STRANGER])
@pytest.mark.parametrize("role", ["sys_admin", "student"])
def test_who_may_not_change_a_role_is_told_the_same_of_everybody(world, how, asker, role):
    nobody = stream_id("user", uuid7(0x77))
    gone = world.given_user(stream_id("user", uuid7(0x78)), org_id=OTHER_SCHOOL)
    world.record(gone, UserDeactivated(reason="left"), org_id=OTHER_SCHOOL)
    org_id = None if role == "sys_admin" else SCHOOL
    told = set()
    for user_id in (nobody, gone, OTHER_ROOT):
        with pytest.raises(DomainError) as refusal:
            run(how(world.write, asked_by(world, asker), change(user_id, role, org_id)))
        told.add((refusal.type, repr(refusal.value.data())))
    assert len(told) == 1


def test_an_organisation_takes_back_whom_it_enrolled_and_removed(world):
    asked = asked_by(world, HEAD)
    run(take_role_away(world.write, asked, change(TEACHER, "teacher", SCHOOL)))
    run(grant_role(world.write, asked, change(TEACHER, "tutor", SCHOOL)))
    assert held(world, TEACHER) == {("tutor", SCHOOL)}


def test_losing_a_role_refuses_older_tokens_and_then_waits_for_the_read_side(world, waited):
    taken = run(take_role_away(world.write, asked_by(world, ROOT), change(KEEPER, "zone_admin")))
    assert taken.events == (RoleLapsed(role="zone_admin", reason="removed"),)
    assert waited.calls == [("refused", KEEPER, taken.version), ("applied", KEEPER, taken.version)]


def test_taking_away_once_more_does_what_a_crash_may_have_left_undone(world, waited):
    run(take_role_away(world.write, asked_by(world, ROOT), change(KEEPER, "zone_admin")))
    first = list(waited.calls)
    again = run(take_role_away(world.write, asked_by(world, ROOT), change(KEEPER, "zone_admin")))
    assert again.events == ()
    assert waited.calls == first + first


def test_granting_waits_for_nothing(world, waited):
    run(grant_role(world.write, asked_by(world, ROOT), change(STRANGER, "zone_admin")))
    assert waited.calls == []


def test_somebody_else_confirms_and_the_time_begins_anew(world):
    world.clock.advance(days=20)
    confirmed = run(confirm_role(world.write, asked_by(world, OTHER_ROOT), change(ROOT, "sys_admin")))
    assert confirmed.events == (RoleConfirmed(role="sys_admin", confirmed_at=world.clock()),)
    assert confirmed.state.role("sys_admin", None).reviewed_at == world.clock()


def test_what_is_not_held_cannot_be_confirmed(world):
    with pytest.raises(RoleNotHeld):
        run(confirm_role(world.write, asked_by(world, ROOT), change(STRANGER, "zone_admin")))


def test_a_role_lapses_only_if_nobody_has_confirmed_it_meanwhile(world):
    run(grant_role(world.write, asked_by(world, ROOT), change(STRANGER, "zone_admin")))
    world.clock.advance(days=30)
    run(confirm_role(world.write, asked_by(world, ROOT), change(STRANGER, "zone_admin")))
    clock = world.asked_by("deadlines", kind="clock")
    late = run(lapse_unconfirmed(world.write, clock, change(STRANGER, "zone_admin"), NOON))
    assert late.events == ()
    assert ("zone_admin", None) in held(world, STRANGER)
    due = run(lapse_unconfirmed(world.write, clock, change(STRANGER, "zone_admin"), world.clock()))
    assert due.events == (RoleLapsed(role="zone_admin", reason="unconfirmed"),)
    assert ("zone_admin", None) not in held(world, STRANGER)


def test_an_operator_and_whoever_has_a_right_of_their_own_need_no_role(world):
    operator = world.asked_by("console", kind="operator")
    run(grant_role(world.write, operator, change(STRANGER, "zone_admin")))
    run(give_role(world.write, asked_by(world, STRANGER), change(STRANGER, "student", SCHOOL)))
    assert held(world, STRANGER) == {("student", None), ("zone_admin", None), ("student", SCHOOL)}
    left = run(end_role(world.write, asked_by(world, STRANGER), change(STRANGER, "student", SCHOOL), "left"))
    assert left.events == (RoleLapsed(role="student", org_id=SCHOOL, reason="left"),)


@pytest.mark.parametrize("repeatable", [False, True])
@pytest.mark.parametrize("late", [False, True], ids=["in time", "late read side"])
def test_two_administrators_who_take_the_role_from_each_other_do_not_leave_none(
    world, monkeypatch, repeatable, late
):
    both_at_once(world, monkeypatch, late=late, repeatable=repeatable, of=take_from)
    assert ("sys_admin", None) in held(world, ROOT) | held(world, OTHER_ROOT)


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late read side"])
def test_two_administrators_who_deactivate_each_other_do_not_leave_none(world, monkeypatch, late):
    both_at_once(world, monkeypatch, late=late, repeatable=True, of=deactivate)
    left = [run(world.write.streams.read(USER, each)).state for each in (ROOT, OTHER_ROOT)]
    assert any(isinstance(each, Registered) and each.role("sys_admin", None) for each in left)


def take_from(write, asked, user_id):
    return take_role_away(write, asked, change(user_id, "sys_admin"))


def deactivate(write, asked, user_id):
    return deactivate_user(write, asked, DeactivateUser(user_id=user_id, reason="left"))


def both_at_once(world, monkeypatch, *, late, repeatable, of):
    """Each of two administrators orders it of the other; neither writes before both were found to be ones."""
    barrier, append, appended = asyncio.Barrier(2), world.log.append, itertools.count()

    async def together(appends):
        if next(appended) < 2:
            await barrier.wait()
        await append(appends)

    async def both() -> list[object]:
        read_side = Late() if late else Waited()
        writes = [
            replace(each, access_applied=read_side, older_tokens=Waited())
            for each in (world.write, world.another_process())
        ]
        asked = [world.asked_by(each, repeatable=repeatable) for each in (ROOT, OTHER_ROOT)]
        return await asyncio.gather(
            of(writes[0], asked[0], OTHER_ROOT), of(writes[1], asked[1], ROOT), return_exceptions=True
        )

    monkeypatch.setattr(world.log, "append", together)
    outcomes = run(both())
    assert any(isinstance(each, RoleNotYoursToChange) for each in outcomes)
    assert not any(isinstance(each, Exception) and not isinstance(each, DomainError) for each in outcomes)


class Late:
    """A read side that has not taken note in time."""

    async def wait(self, stream: str, version: int) -> None:
        del stream, version
        raise AccessNotApplied(retry_after_s=1)


def test_who_lost_the_right_while_granting_has_granted_nothing(world, monkeypatch):
    append = world.log.append

    async def too_late(appends):
        monkeypatch.setattr(world.log, "append", append)
        world.record(ROOT, RoleLapsed(role="sys_admin", reason="removed"), org_id=None)
        await append(appends)

    monkeypatch.setattr(world.log, "append", too_late)
    asked = world.asked_by(ROOT, repeatable=True)
    with pytest.raises(RoleNotYoursToChange):
        run(grant_role(world.write, asked, change(STRANGER, "sys_admin")))
    assert ("sys_admin", None) not in held(world, STRANGER)


def test_an_administrator_is_one_by_the_account_and_not_by_a_token(world):
    for asker in (TEACHER, STRANGER, stream_id("user", uuid7(0x99))):
        with pytest.raises(UserNotFound):
            run(deactivate(world.write, asked_by(world, asker), ROOT))
    run(take_role_away(world.write, asked_by(world, ROOT), change(OTHER_ROOT, "sys_admin")))
    with pytest.raises(UserNotFound):
        run(deactivate(world.write, asked_by(world, OTHER_ROOT), ROOT))
    with pytest.raises(OwnRoles):
        run(deactivate(world.write, asked_by(world, ROOT), ROOT))


def test_a_schools_administrator_deactivates_those_alone_who_are_known_nowhere_else(world):
    asked = asked_by(world, HEAD)
    with pytest.raises(UserNotFound):
        run(deactivate(world.write, asked, STRANGER))
    world.record(STRANGER, RoleGranted(role="student", org_id=SCHOOL), RoleGranted(role="parent"))
    world.record(TEACHER, RoleGranted(role="org_admin", org_id=OTHER_SCHOOL))
    with pytest.raises(RoleNotYoursToChange) as refused:
        run(deactivate(world.write, asked, TEACHER))
    assert OTHER_SCHOOL not in str(refused.value.data())
    world.record(KEEPER, RoleGranted(role="teacher", org_id=SCHOOL))
    with pytest.raises(RoleNotYoursToChange):
        run(deactivate(world.write, asked, KEEPER))
    assert run(deactivate(world.write, asked, STRANGER)).events == (UserDeactivated(reason="left"),)
    world.record(HEAD, RoleGranted(role="org_admin", org_id=OTHER_SCHOOL))
    assert run(deactivate(world.write, asked_by(world, HEAD), TEACHER)).events


def test_a_role_that_was_granted_twice_in_an_old_log_is_gone_when_it_is_taken_away():
    account = evolve(
        Unregistered(),
        UserRegistered(origin="self", zone_id="univprep", display_name="Kim", language="ko"),
    )
    for event in (RoleGranted(role="tutor"), RoleGranted(role="student"), RoleGranted(role="tutor")):
        account = evolve(account, event)
    assert [each.role for each in account.roles] == ["tutor", "student"]
    account = evolve(account, RoleLapsed(role="tutor", reason="removed"))
    assert [each.role for each in account.roles] == ["student"]
    assert evolve(account, RoleLapsed(role="tutor", reason="removed")) == account
