"""Registering under an address that nobody else has, and signing in: also at once, and after crashes."""

import asyncio

import msgspec
import pytest

from commands.change_profile import ChangeProfile, change_profile
from commands.found_organization import (
    AddServiceClient,
    ClientIdTaken,
    FoundOrganization,
    UnusableClientId,
    add_client,
    found_organization,
)
from commands.register_user import RegisterUser, normal_email, register_user
from commands.sign_in import WrongCredentials, sign_in, sign_in_service, signed_in
from commands.streams import Outcome
from domain.errors import StaleVersion
from domain.events import Actor
from domain.organizations.organization import OrganizationNotFound
from domain.users.account import EmailTaken, GrantedRole, UserNotFound
from domain.users.events import ProfileChanged, RoleGranted, UserRegistered
from infra.composition import event_codec
from tests.support.exam_parts import OTHER_SCHOOL, SCHOOL, STUDENT
from tests.support.memory import World

EMAIL = "minji@example.org"
PASSWORD = "correct horse battery"


def command(password=PASSWORD, email=EMAIL, **changes):
    plain = RegisterUser(
        email=email, password=password, display_name="민지", language="ko", zone_id="univprep"
    )
    return msgspec.structs.replace(plain, **changes)


async def register(world, *args, context=None, write=None, **changes):
    context = context or world.asked_by("anonymous")
    return await register_user(write or world.write, context, command(*args, **changes))


@pytest.fixture
def world():
    return World()


async def test_whoever_registers_has_an_account_of_their_own_making(world):
    outcome = await register(world)

    [registered, granted] = world.log.stream(outcome.stream_id)
    assert registered.event == UserRegistered(
        origin="self",
        zone_id="univprep",
        display_name="민지",
        language="ko",
        email=EMAIL,
        email_hash=world.write.keyed_hash(EMAIL),
        credential_id=outcome.state.credential_id,
    )
    assert granted.event == RoleGranted(role="student")
    assert registered.metadata.actor == Actor("user", outcome.stream_id)
    assert (registered.metadata.zone_id, registered.metadata.org_id) == ("univprep", None)
    assert await sign_in(world.write, EMAIL, PASSWORD) == (outcome.stream_id, outcome.state, 2)


async def test_neither_the_password_nor_its_hash_is_in_the_log(world):
    await register(world)
    [(_, kind, hash_)] = world.credentials.records.values()
    codec = event_codec()

    stored = b"".join(codec.encode(recorded).payload for recorded in world.log.all)

    assert kind == "password"
    assert hash_ == await world.hasher.hash(PASSWORD)
    assert PASSWORD.encode() not in stored
    assert hash_.encode() not in stored


async def test_an_operator_can_give_an_account_its_roles(world):
    roles = (GrantedRole("teacher", SCHOOL), GrantedRole("org_admin", SCHOOL))

    outcome = await register(
        world,
        context=world.asked_by("bootstrap", kind="operator"),
        origin="bootstrap",
        roles=roles,
        org_id=SCHOOL,
    )

    assert outcome.state.roles == roles
    [registered, *_] = world.log.stream(outcome.stream_id)
    assert registered.metadata.actor == Actor("operator", "bootstrap")
    assert registered.metadata.org_id == registered.event.org_id == SCHOOL


@pytest.mark.parametrize(
    "email", [EMAIL, "Minji@Example.ORG", f" {EMAIL} ", chr(0xFF4D) + "inji@example.org"]
)
async def test_another_spelling_of_an_address_is_the_same_address(world, email):
    await register(world)

    with pytest.raises(EmailTaken):
        await register(world, "other password", email=email)

    assert len(world.log.streams("user")) == 1
    assert await sign_in(world.write, email, PASSWORD)
    with pytest.raises(WrongCredentials):
        await sign_in(world.write, email, "other password")


def test_the_normal_form_of_an_address_is_its_own_normal_form():
    for email in (EMAIL, "MINJI@EXAMPLE.ORG", " Straße@Example.org", chr(0xFF4D) + "@x.kr"):
        assert normal_email(normal_email(email)) == normal_email(email)


async def test_another_address_is_another_account(world):
    first, second = await register(world), await register(world, email="seoyeon@example.org")

    assert first.stream_id != second.stream_id


async def test_a_crash_between_claim_and_append_does_not_block_the_address(world):
    world.log.fail_before_the_next_append(ConnectionError("the process was killed"))
    with pytest.raises(ConnectionError):
        await register(world, "first password")
    assert world.log.all == []
    with pytest.raises(WrongCredentials):
        await sign_in(world.write, EMAIL, "first password")

    outcome = await register(world, "second password")

    assert world.log.streams("user") == [outcome.stream_id]
    assert (await sign_in(world.write, EMAIL, "second password"))[0] == outcome.stream_id
    with pytest.raises(WrongCredentials):
        await sign_in(world.write, EMAIL, "first password")
    with pytest.raises(EmailTaken):
        await register(world, "third password")


async def test_a_lost_answer_is_found_again_by_the_same_command(world):
    again = world.asked_by("anonymous", repeatable=True, command_id=world.new_id())
    world.log.fail_after_the_next_append(ConnectionError("the answer was lost"))
    with pytest.raises(ConnectionError):
        await register(world, context=again)

    outcome = await register(world, context=again)

    assert [type(event) for event in outcome.events] == [UserRegistered, RoleGranted]
    assert len(world.log.all) == 2
    assert (await sign_in(world.write, EMAIL, PASSWORD))[0] == outcome.stream_id


@pytest.mark.parametrize(("tasks", "processes"), [(2, 1), (2, 2), (32, 1), (32, 3)])
async def test_of_many_who_register_one_address_at_once_one_has_it_with_their_own_password(
    world, tasks, processes
):
    writing = [world.write, *(world.another_process() for _ in range(processes - 1))]

    outcomes = await asyncio.gather(
        *(register(world, f"password {n}", write=writing[n % processes]) for n in range(tasks)),
        return_exceptions=True,
    )

    [winner] = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Outcome)]
    assert [type(outcome) for n, outcome in enumerate(outcomes) if n != winner] == [EmailTaken] * (tasks - 1)
    assert len(world.log.all) == 2
    assert (await sign_in(world.write, EMAIL, f"password {winner}"))[0] == outcomes[winner].stream_id
    for n in range(tasks):
        if n != winner:
            with pytest.raises(WrongCredentials):
                await sign_in(world.write, EMAIL, f"password {n}")


async def test_whoever_does_not_exist_costs_as_much_as_a_wrong_password(world):
    await register(world)
    enrolled = world.given_user()

    with pytest.raises(WrongCredentials):
        await sign_in(world.write, EMAIL, "wrong")
    assert world.hasher.dummies == 0
    with pytest.raises(WrongCredentials):
        await sign_in(world.write, "nobody@example.org", PASSWORD)
    assert world.hasher.dummies == 1
    # Somebody enrolled by a school, at whose address a claim points, has no password at all.
    world.claims.held["email", world.write.keyed_hash("enrolled@example.org")] = enrolled
    with pytest.raises(WrongCredentials):
        await sign_in(world.write, "enrolled@example.org", "")
    assert world.hasher.dummies == 2


async def test_who_is_signed_in_is_looked_up_as_they_are_now(world):
    world.given_user()
    assert (await signed_in(world.write, STUDENT)).account.display_name == "민지"
    world.record(STUDENT, ProfileChanged(display_name="서연", language="ko"))

    later = await signed_in(world.write, STUDENT)
    assert (later.account.display_name, later.version) == ("서연", 2)
    with pytest.raises(WrongCredentials):
        await signed_in(world.write, world.fresh_id("user"))
    with pytest.raises(WrongCredentials):
        await signed_in(world.write, "client-grader")


# -- profiles ------------------------------------------------------------------------------------------------


async def test_a_profile_is_changed_where_the_account_belongs(world):
    world.given_user()

    outcome = await change_profile(
        world.write, world.student(), ChangeProfile(user_id=STUDENT, display_name="서연")
    )

    assert outcome.events == (ProfileChanged(display_name="서연", language="ko"),)
    assert world.log.stream(STUDENT)[-1].metadata.org_id == SCHOOL


async def test_a_profile_that_somebody_changed_meanwhile_is_not_overwritten(world):
    world.given_user()
    change = ChangeProfile(user_id=STUDENT, display_name="서연", expected_version=1)
    await change_profile(world.write, world.student(), change)

    with pytest.raises(StaleVersion):
        await change_profile(
            world.write, world.student(), msgspec.structs.replace(change, display_name="지우")
        )

    assert len(world.log.stream(STUDENT)) == 2


@pytest.mark.parametrize("nobody", ["grader", "user-0", SCHOOL])
async def test_who_has_no_account_has_no_profile(world, nobody):
    with pytest.raises(UserNotFound):
        await change_profile(world.write, world.student(), ChangeProfile(user_id=nobody, display_name="x"))


# -- programs ------------------------------------------------------------------------------------------------


async def a_school(world):
    founded = await found_organization(
        world.write,
        world.asked_by("bootstrap", kind="operator"),
        FoundOrganization(name="하늘 학원", zone_id="univprep"),
    )
    return founded.stream_id


def client(org_id, secret="s3cret", client_id="client-grader"):
    return AddServiceClient(org_id=org_id, client_id=client_id, client_secret=secret, name="Grader")


async def test_a_program_signs_in_for_its_organisation(world):
    org_id = await a_school(world)
    await add_client(world.write, world.asked_by("bootstrap", kind="operator"), client(org_id))

    signed_in_for, organization, found = await sign_in_service(world.write, "client-grader", "s3cret")

    assert (signed_in_for, organization.name, found.roles) == (org_id, "하늘 학원", ("service",))
    for client_id, secret in (("client-grader", "wrong"), ("nobody", "s3cret"), ("", "")):
        with pytest.raises(WrongCredentials):
            await sign_in_service(world.write, client_id, secret)
    assert world.hasher.dummies == 2


async def test_a_program_let_in_twice_keeps_its_first_secret(world):
    org_id = await a_school(world)
    operator = world.asked_by("bootstrap", kind="operator")
    await add_client(world.write, operator, client(org_id, "first"))

    again = await add_client(world.write, operator, client(org_id, "second"))

    assert again.events == ()
    assert await sign_in_service(world.write, "client-grader", "first")
    with pytest.raises(WrongCredentials):
        await sign_in_service(world.write, "client-grader", "second")


async def test_a_program_belongs_to_the_organisation_that_named_it_first(world):
    operator = world.asked_by("bootstrap", kind="operator")
    await add_client(world.write, operator, client(await a_school(world)))

    with pytest.raises(ClientIdTaken):
        await add_client(world.write, operator, client(await a_school(world)))


async def test_a_program_is_known_by_the_beginning_of_its_id(world):
    operator = world.asked_by("bootstrap", kind="operator")

    with pytest.raises(UnusableClientId):
        await add_client(world.write, operator, client(await a_school(world), client_id="grader"))


async def test_an_organisation_that_does_not_exist_has_no_programs(world):
    with pytest.raises(OrganizationNotFound):
        await add_client(world.write, world.asked_by("bootstrap", kind="operator"), client(OTHER_SCHOOL))
