"""The first system administrator is made once, however it is tried."""

import asyncio

import pytest

from commands.first_admin import FirstAdmin, FirstAdminExists, make_first_admin
from commands.kinds import USER
from commands.register_user import RegisterUser, register_user
from commands.sign_in import sign_in
from domain.users.account import EmailTaken, GrantedRole
from domain.users.events import RoleGranted, UserRegistered
from tests.support.exam_parts import NOON
from tests.support.memory import World

PASSWORD = "a long enough password"


@pytest.fixture
def world():
    return World()


def first_admin(email="ann@example.org"):
    return FirstAdmin(email=email, password=PASSWORD, display_name="Ann", language="en", zone_id="univprep")


def made(world, email="ann@example.org", write=None):
    asked = world.asked_by("console", kind="operator")
    return asyncio.run(make_first_admin(write or world.write, asked, first_admin(email)))


def test_the_first_administrator_can_sign_in_and_is_to_be_confirmed_like_any_other(world):
    outcome = made(world)
    registered, granted = outcome.events
    assert isinstance(registered, UserRegistered)
    assert registered.origin == "bootstrap"
    assert granted == RoleGranted(role="sys_admin", granted_at=NOON)
    who = asyncio.run(sign_in(world.write, "Ann@Example.org", PASSWORD))
    assert who.user_id == outcome.stream_id
    assert who.account.roles == (GrantedRole("sys_admin", None, NOON),)


@pytest.mark.parametrize("email", ["ann@example.org", "bob@example.org"])
def test_there_is_no_second_first_one(world, email):
    made(world)
    before = len(world.log.all)
    with pytest.raises(FirstAdminExists) as refused:
        made(world, email)
    assert refused.value.detail() == (
        "The first system administrator was made before; whoever is one can make others."
    )
    assert len(world.log.all) == before


def test_an_address_that_somebody_has_is_refused_and_does_not_use_the_place_up(world):
    command = RegisterUser(
        email="bob@example.org", password=PASSWORD, display_name="Bob", language="en", zone_id="univprep"
    )
    asyncio.run(register_user(world.write, world.asked_by("anonymous"), command))
    with pytest.raises(EmailTaken):
        made(world, "bob@example.org")
    assert made(world, "ann@example.org").events


@pytest.mark.parametrize("emails", [("ann@example.org", "bob@example.org"), ("ann@example.org",) * 2])
def test_of_two_who_come_at_once_one_is_made(world, emails):
    async def both():
        asked = [world.asked_by("console", kind="operator") for _ in emails]
        writes = (world.write, world.another_process())
        return await asyncio.gather(
            *(
                make_first_admin(write, context, first_admin(email))
                for write, context, email in zip(writes, asked, emails, strict=True)
            ),
            return_exceptions=True,
        )

    outcomes = asyncio.run(both())
    assert sum(isinstance(each, FirstAdminExists) for each in outcomes) == 1
    admins = [each for each in world.log.all if isinstance(each.event, RoleGranted)]
    assert len(admins) == 1


def test_whoever_was_stopped_halfway_carries_on_with_the_same_address(world, monkeypatch):
    async def crashing(*_):
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(world.log, "append", crashing)
        with pytest.raises(ConnectionError):
            made(world)
    with pytest.raises(FirstAdminExists) as refused:
        made(world, "bob@example.org")
    assert "another address" in refused.value.detail()
    outcome = made(world)
    state = asyncio.run(world.write.streams.read(USER, outcome.stream_id)).state
    assert state.role("sys_admin", None) is not None


def test_whoever_registers_the_address_meanwhile_does_not_use_the_place_up(world, monkeypatch):
    async def crashing(*_):
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(world.log, "append", crashing)
        with pytest.raises(ConnectionError):
            made(world)
    command = RegisterUser(
        email="ann@example.org", password=PASSWORD, display_name="Eve", language="en", zone_id="univprep"
    )
    somebody = asyncio.run(register_user(world.write, world.asked_by("anonymous"), command))
    with pytest.raises(EmailTaken):
        made(world)
    outcome = made(world, "bob@example.org")
    assert outcome.stream_id != somebody.stream_id
    assert outcome.state.role("sys_admin", None) is not None
    for email in ("ann@example.org", "bob@example.org", "eve@example.org"):
        with pytest.raises(FirstAdminExists) as refused:
            made(world, email)
        assert not refused.value.begun
