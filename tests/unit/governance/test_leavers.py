"""A list of leavers is gone through row by row."""

import asyncio

import pytest

from commands.kinds import USER
from commands.leavers import Leaver, Leaving, UnreadableLeavers, read_leavers
from commands.register_user import RegisterUser, register_user
from commands.roster.roster import UnreadableRoster
from domain.identifiers import stream_id
from domain.users.account import Deactivated, GrantedRole
from domain.users.events import UserDeactivated
from domain.users.role_reviews import HeldRole
from tests.support.exam_parts import NOON, uuid7
from tests.support.memory import World

NOBODY = stream_id("user", uuid7(0xDEAD))


class SignIns:
    def __init__(self):
        self.ended = []

    async def end_all_of(self, user_id):
        self.ended.append(user_id)


class Admins:
    def __init__(self, *user_ids):
        self.user_ids = user_ids

    async def held(self):
        return [
            HeldRole(
                user_id=each,
                role="sys_admin",
                org_id=None,
                zone_id="univprep",
                granted_at=NOON,
                granted_by="x",
                confirmed_at=None,
                confirmed_by=None,
                reviewed_at=None,
            )
            for each in self.user_ids
        ]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def sign_ins():
    return SignIns()


def person(world, email, *roles):
    command = RegisterUser(
        email=email,
        password="a long enough password",
        display_name="민지",
        language="ko",
        zone_id="univprep",
        origin="bootstrap",
        roles=tuple(GrantedRole(role) for role in roles),
    )
    return asyncio.run(register_user(world.write, world.asked_by("x", kind="operator"), command)).stream_id


def gone_through(world, sign_ins, listed, admins=(), *, dry_run=False):
    leaving = Leaving(
        write=world.write,
        context=world.asked_by("console", kind="operator"),
        sign_ins=sign_ins,
        reviews=Admins(*admins),
        reason="left in spring",
        dry_run=dry_run,
    )

    async def all_of_them():
        return [await leaving.leave(Leaver(row, named)) for row, named in enumerate(listed, 2)]

    return [each.happened for each in asyncio.run(all_of_them())]


def is_deactivated(world, user_id):
    return isinstance(asyncio.run(world.write.streams.read(USER, user_id)).state, Deactivated)


def test_everybody_who_is_listed_by_id_or_address_is_deactivated(world, sign_ins):
    ann, bob, eve = (person(world, f"{name}@example.org", "student") for name in ("ann", "bob", "eve"))
    happened = gone_through(world, sign_ins, [ann, " Bob@Example.org ".strip(), "nobody@example.org", NOBODY])
    assert happened == ["deactivated", "deactivated", "not found", "not found"]
    assert [is_deactivated(world, each) for each in (ann, bob, eve)] == [True, True, False]
    assert sign_ins.ended == [ann, bob]
    reasons = {each.event.reason for each in world.log.all if isinstance(each.event, UserDeactivated)}
    assert reasons == {"left in spring"}


def test_a_dry_run_says_what_would_happen_and_changes_nothing(world, sign_ins):
    ann = person(world, "ann@example.org", "student")
    listed = [ann, "ann@example.org", NOBODY, None]
    assert gone_through(world, sign_ins, listed, dry_run=True) == [
        "to be deactivated",
        "deactivated before",
        "not found",
        "unreadable",
    ]
    assert not is_deactivated(world, ann)
    assert sign_ins.ended == []


def test_the_same_list_again_ends_what_was_left_open_and_adds_no_event(world, sign_ins):
    ann = person(world, "ann@example.org", "student")
    gone_through(world, sign_ins, [ann])
    before = len(world.log.all)
    assert gone_through(world, sign_ins, [ann]) == ["deactivated before"]
    assert len(world.log.all) == before
    assert sign_ins.ended == [ann, ann]


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_last_system_administrator_stays(world, sign_ins, dry_run):
    ann, bob = (person(world, f"{name}@example.org", "sys_admin") for name in ("ann", "bob"))
    happened = gone_through(world, sign_ins, [ann, bob], admins=(ann, bob), dry_run=dry_run)
    assert happened == ["to be deactivated" if dry_run else "deactivated", "last sys_admin"]
    assert not is_deactivated(world, bob)


def test_an_administrator_who_is_one_no_longer_does_not_count(world, sign_ins):
    ann, bob = person(world, "ann@example.org", "sys_admin"), person(world, "bob@example.org", "sys_admin")
    world.record(bob, UserDeactivated(reason="left"))
    # The read side has not heard of it.
    assert gone_through(world, sign_ins, [ann], admins=(ann, bob)) == ["last sys_admin"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_a_list_may_have_other_columns_and_korean_in_it(encoding):
    body = f"이름,email,user_id\n김민지,minji@example.org,\n이서연,,{NOBODY}\n,,\n박,,\n짧은 줄\n".encode(
        encoding
    )
    assert read_leavers(body) == [
        Leaver(2, "minji@example.org"),
        Leaver(3, NOBODY),
        Leaver(5, None),
        Leaver(6, None),
    ]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [(b"", UnreadableRoster), (b"name\nKim\n", UnreadableLeavers), (b'email\n"x\n', UnreadableRoster)],
)
def test_what_names_nobody_at_all_is_refused(body, refusal):
    with pytest.raises(refusal):
        read_leavers(body)
