"""Roles that have to be confirmed: who is warned, what lapses, and who keeps the role whatever happens."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from commands.kinds import USER
from commands.reactions.role_reviews import review_roles
from commands.roles import ChangeRole, confirm_role, grant_role, take_role_away
from domain.errors import Unavailable
from domain.identifiers import stream_id
from domain.users.account import Registered
from domain.users.events import RoleConfirmed, RoleGranted, RoleLapsed, UserDeactivated
from domain.users.role_reviews import HeldRole, ReviewRules, keeper_of
from domain.users.role_rules import REVIEWED_ROLES
from tests.support.exam_parts import NOON, uuid7
from tests.support.memory import World

ROOT, OTHER_ROOT, KEEPER, STRANGER = (stream_id("user", uuid7(0x20 + n)) for n in range(4))
RULES = ReviewRules(confirm_within=timedelta(days=30), warn_before=timedelta(days=7))


class Mails:
    """Each id is asked for once, as the outbox does it."""

    def __init__(self):
        self.sent = []
        self._ids = set()

    async def to_person(self, kind, user_id, mail_id=None):
        if mail_id not in self._ids:
            self._ids.add(mail_id)
            self.sent.append((kind, user_id))


class FromTheLog:
    """What the projection makes of the log, without its delay; or as it was, where it is `late`."""

    def __init__(self, world):
        self.world = world
        self.late = None

    async def held(self):
        if self.late is not None:
            return self.late
        held = {}
        for each in self.world.log.all:
            event, user = each.event, each.stream_id
            match event:
                case RoleGranted() if event.role in REVIEWED_ROLES:
                    held[user, event.role] = HeldRole(
                        user_id=user,
                        role=event.role,
                        org_id=None,
                        zone_id="univprep",
                        granted_at=each.metadata.recorded_at,
                        granted_by=each.metadata.actor.id,
                        confirmed_at=None,
                        confirmed_by=None,
                        reviewed_at=event.granted_at,
                    )
                case RoleConfirmed():
                    before = held[user, event.role]
                    at, by = each.metadata.recorded_at, each.metadata.actor.id
                    changed = {"confirmed_at": at, "confirmed_by": by, "reviewed_at": event.confirmed_at}
                    held[user, event.role] = HeldRole(**{**_fields(before), **changed})
                case RoleLapsed():
                    held.pop((user, event.role), None)
                case UserDeactivated():
                    held = {key: role for key, role in held.items() if key[0] != user}
        return list(held.values())


def _fields(held):
    return {name: getattr(held, name) for name in held.__struct_fields__}


@pytest.fixture
def mails():
    return Mails()


@pytest.fixture
def world(mails):
    """Two system administrators since noon, and one of a zone."""
    world = World()
    world.write = replace(world.write, mail=mails)
    for user_id in (ROOT, OTHER_ROOT, KEEPER, STRANGER):
        world.given_user(user_id, org_id=None)
    world.record(ROOT, RoleGranted(role="sys_admin"), org_id=None)
    world.clock.advance(minutes=1)
    world.record(OTHER_ROOT, RoleGranted(role="sys_admin", granted_at=world.clock()), org_id=None)
    order(world, grant_role, ROOT, KEEPER, "zone_admin")
    return world


def order(world, what, by, user_id, role):
    command = ChangeRole(user_id=user_id, role=role)
    return asyncio.run(what(world.write, world.asked_by(by), command))


def review(world, reviews=None):
    return asyncio.run(review_roles(world.write, reviews or FromTheLog(world), RULES))


def names(held):
    return {(each.user_id, each.role) for each in held}


def roles(world, user_id):
    account = asyncio.run(world.write.streams.read(USER, user_id)).state
    return {each.role for each in account.roles} if isinstance(account, Registered) else None


def test_nothing_happens_to_roles_that_were_granted_lately(world, mails):
    world.clock.advance(days=22)
    before = len(world.log.all)
    done = review(world)
    assert (done.warned, done.lapsed, done.failed, done.kept) == ((), (), (), None)
    assert mails.sent == []
    assert len(world.log.all) == before


def test_a_week_before_its_end_holders_and_those_who_may_confirm_are_written_to_once(world, mails):
    world.clock.advance(days=23, minutes=1)
    for _ in range(3):
        assert names(review(world).warned) == {
            (ROOT, "sys_admin"),
            (OTHER_ROOT, "sys_admin"),
            (KEEPER, "zone_admin"),
        }
    assert sorted(mails.sent) == sorted(
        [
            ("role_review_due", ROOT),
            ("role_review_due", OTHER_ROOT),
            ("role_review_due", KEEPER),
            ("roles_to_confirm", ROOT),
            ("roles_to_confirm", OTHER_ROOT),
        ]
    )
    # And those who may confirm it once a day from then on.
    world.clock.advance(days=1)
    mails.sent.clear()
    review(world)
    assert {kind for kind, _ in mails.sent} == {"roles_to_confirm"}


def test_nobody_is_asked_to_confirm_only_their_own_role(world, mails):
    world.clock.advance(days=22)
    order(world, confirm_role, ROOT, OTHER_ROOT, "sys_admin")
    order(world, confirm_role, ROOT, KEEPER, "zone_admin")
    world.clock.advance(days=2)
    assert names(review(world).warned) == {(ROOT, "sys_admin")}
    assert sorted(mails.sent) == [("role_review_due", ROOT), ("roles_to_confirm", OTHER_ROOT)]


def test_what_nobody_confirmed_lapses_after_its_time_and_not_before(world):
    order(world, confirm_role, ROOT, OTHER_ROOT, "sys_admin")
    world.clock.advance(days=30)
    world.clock.now -= timedelta(seconds=61)
    assert review(world).lapsed == ()
    world.clock.advance(seconds=61)
    assert names(review(world).lapsed) == {(ROOT, "sys_admin"), (KEEPER, "zone_admin")}
    assert roles(world, KEEPER) == set()
    assert roles(world, OTHER_ROOT) == {"sys_admin"}
    lapsed = [each for each in world.log.all if isinstance(each.event, RoleLapsed)]
    assert {each.event.reason for each in lapsed} == {"unconfirmed"}
    assert {(each.metadata.actor.kind, each.metadata.actor.id) for each in lapsed} == {
        ("clock", "role-reviews")
    }
    assert review(world).lapsed == ()


def test_a_confirmation_begins_the_time_anew(world):
    world.clock.advance(days=25)
    order(world, confirm_role, ROOT, KEEPER, "zone_admin")
    world.clock.advance(days=22)
    assert (KEEPER, "zone_admin") not in names(review(world).warned)
    world.clock.advance(days=8)
    assert (KEEPER, "zone_admin") in names(review(world).lapsed)


def test_the_system_administrator_who_was_confirmed_last_keeps_the_role_and_is_reported(world, mails):
    world.clock.advance(days=40)
    done = review(world)
    assert names(done.lapsed) == {(ROOT, "sys_admin"), (KEEPER, "zone_admin")}
    assert done.kept is not None
    assert done.kept.user_id == OTHER_ROOT
    assert (OTHER_ROOT, "sys_admin") in names(done.warned)
    assert ("role_review_due", OTHER_ROOT) in mails.sent
    for _ in range(3):
        world.clock.advance(days=400)
        assert review(world).kept.user_id == OTHER_ROOT
    assert roles(world, OTHER_ROOT) == {"sys_admin"}


def test_the_one_who_kept_the_role_grants_it_and_is_confirmed(world):
    world.clock.advance(days=40)
    review(world)
    order(world, grant_role, OTHER_ROOT, STRANGER, "sys_admin")
    order(world, confirm_role, STRANGER, OTHER_ROOT, "sys_admin")
    assert review(world).kept is None
    assert roles(world, OTHER_ROOT) == roles(world, STRANGER) == {"sys_admin"}


def test_two_processes_that_look_at_once_leave_one_administrator(world):
    world.clock.advance(days=40)
    other = replace(world.another_process(), mail=world.write.mail)

    async def both():
        reviews = FromTheLog(world)
        return await asyncio.gather(*(review_roles(each, reviews, RULES) for each in (world.write, other)))

    first, second = asyncio.run(both())
    assert len(first.lapsed) + len(second.lapsed) == 2
    assert roles(world, OTHER_ROOT) == {"sys_admin"}


def test_what_the_read_side_has_not_heard_of_yet_lapses_nothing_wrongly(world):
    late = FromTheLog(world)
    late.late = asyncio.run(late.held())
    world.clock.advance(days=40)
    order(world, confirm_role, ROOT, KEEPER, "zone_admin")
    # And the administrator who would keep the role is deactivated meanwhile.
    world.record(OTHER_ROOT, UserDeactivated(reason="left"), org_id=None)
    assert review(world, late).lapsed == ()
    assert roles(world, KEEPER) == {"zone_admin"}
    assert roles(world, ROOT) == {"sys_admin"}


def test_one_role_that_cannot_be_looked_after_holds_up_no_other(world):
    class Broken:
        async def wait(self, stream, version):
            del version
            if stream == ROOT:
                raise Unavailable(retry_after_s=1)

    world.write = replace(world.write, access_applied=Broken())
    world.clock.advance(days=40)
    done = review(world)
    assert [(each.user_id, error.code) for each, error in done.failed] == [(ROOT, "unavailable")]
    assert names(done.lapsed) == {(KEEPER, "zone_admin")}


def test_a_role_that_was_taken_away_is_neither_warned_of_nor_lapses(world, mails):
    order(world, take_role_away, ROOT, KEEPER, "zone_admin")
    world.clock.advance(days=40)
    assert (KEEPER, "zone_admin") not in names(review(world).lapsed)
    assert KEEPER not in {user_id for _, user_id in mails.sent}


def test_of_administrators_who_were_confirmed_at_the_same_moment_all_find_the_same_keeper():
    held = [
        HeldRole(
            user_id=user_id,
            role="sys_admin",
            org_id=None,
            zone_id=None,
            granted_at=NOON,
            granted_by="x",
            confirmed_at=None,
            confirmed_by=None,
            reviewed_at=None,
        )
        for user_id in (ROOT, OTHER_ROOT, STRANGER)
    ]
    assert keeper_of(held) == keeper_of(reversed(held))
    assert keeper_of([]) is None
