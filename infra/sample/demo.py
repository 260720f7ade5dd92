"""The demo set-up: an organisation, a program of it that may sign in, and people to try things out as.

Names, ids and passwords are written to a file before any of them is used. So the set-up may be made at every
start, and after a crash anywhere in it: it goes on with what the file says.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from commands.context import CommandContext
from commands.found_organization import (
    AddServiceClient,
    FoundOrganization,
    add_client,
    found_organization,
)
from commands.kinds import USER
from commands.register_user import EMAIL_SCOPE, RegisterUser, normal_email, register_user
from commands.streams import Loaded
from commands.write_side import WriteSide
from domain.events import Actor
from domain.identifiers import StreamId
from domain.organizations.organization import Founded
from domain.users.account import Account, EmailTaken, GrantedRole, Registered
from domain.zones import ZoneId
from infra.sample.atomic_file import replace_file
from infra.secrets_files import SecretFileError, read_or_create_file

DemoRole = Literal["student", "teacher", "org_admin"]

DEMO_FILE = "demo.json"
_DOMAIN = "demo.example"  # reserved for examples: no mail ever goes there
_LETTERS = "abcdefghjkmnpqrstuvwxyz"  # without i, l and o, which look like something else


class DemoPerson(msgspec.Struct, frozen=True, kw_only=True):
    role: DemoRole
    email: str
    password: str
    user_id: StreamId


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    org_id: StreamId
    client_id: str
    client_secret: str
    people: list[DemoPerson]

    def person(self, role: DemoRole) -> DemoPerson:
        return next(person for person in self.people if person.role == role)


class PersonPlan(msgspec.Struct, frozen=True, kw_only=True):
    role: DemoRole
    name: str
    email: str
    password: str


class DemoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds: all that is chosen at random, and nothing that follows from it."""

    organization_command_id: str
    client_id: str
    client_secret: str
    people: list[PersonPlan]

    def person(self, role: DemoRole) -> PersonPlan:
        return next(person for person in self.people if person.role == role)


async def set_up_demo(
    write: WriteSide,
    secrets_dir: Path,
    zone: ZoneId,
    organization_name: str,
    new_id: Callable[[], str],
) -> Demo:
    """Makes what is missing of the demo set-up. Everything keeps its name and password from then on.

    Raises `SecretFileError` where the file cannot be used.
    """
    file = secrets_dir / DEMO_FILE
    plan = _decoded(file, read_or_create_file(file, lambda: msgspec.json.encode(_new_plan(new_id))))
    founding = _context(new_id, plan.organization_command_id)
    founded = await found_organization(
        write, founding, FoundOrganization(name=organization_name, zone_id=zone)
    )
    org_id, organization = founded.stream_id, founded.state
    assert isinstance(organization, Founded)
    if organization.client(plan.client_id) is None:
        client = AddServiceClient(
            org_id=org_id,
            client_id=plan.client_id,
            client_secret=plan.client_secret,
            name="Sample player",
        )
        await add_client(write, _context(new_id), client)
    usable = await _with_free_addresses(write, plan, org_id)
    if usable != plan:
        replace_file(file, msgspec.json.encode(usable))
    people = []
    for person in usable.people:
        user_id = await _registered(write, person, organization.zone_id, org_id, new_id)
        people.append(
            DemoPerson(role=person.role, email=person.email, password=person.password, user_id=user_id)
        )
    return Demo(org_id=org_id, client_id=plan.client_id, client_secret=plan.client_secret, people=people)


def load_demo_plan(secrets_dir: Path) -> DemoPlan | None:
    """The sign-ins of the demo set-up; None where it was never made. Raises `SecretFileError`."""
    file = secrets_dir / DEMO_FILE
    try:
        return _decoded(file, file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretFileError(f"{file} cannot be read: {error.strerror}.") from error


def readable_password() -> str:
    """Four groups of four letters, about 72 bits."""
    return "-".join(_letters(4) for _ in range(4))


def _new_plan(new_id: Callable[[], str]) -> DemoPlan:
    names: list[tuple[DemoRole, str, str]] = [
        ("student", "student", "Demo Student"),
        ("teacher", "teacher", "Demo Teacher"),
        ("org_admin", "admin", "Demo Administrator"),
    ]
    return DemoPlan(
        organization_command_id=new_id(),
        client_id=f"client-{new_id()}",
        client_secret=secrets.token_urlsafe(32),
        people=[
            PersonPlan(role=role, name=name, email=f"{address}@{_DOMAIN}", password=readable_password())
            for role, address, name in names
        ],
    )


async def _with_free_addresses(write: WriteSide, plan: DemoPlan, org_id: StreamId) -> DemoPlan:
    """The plan with other e-mail addresses where somebody else has them.

    Two checkouts may share a database, and a lost file makes a set-up beside the old one.
    """
    people = []
    for person in plan.people:
        account = await _account(write, person.email)
        is_ours = account is None or account[1].org_id == org_id
        name, _, domain = person.email.partition("@")
        email = person.email if is_ours else f"{name.partition('.')[0]}.{_letters(4)}@{domain}"
        people.append(msgspec.structs.replace(person, email=email))
    return msgspec.structs.replace(plan, people=people)


async def _registered(
    write: WriteSide, person: PersonPlan, zone_id: ZoneId, org_id: StreamId, new_id: Callable[[], str]
) -> StreamId:
    account = await _account(write, person.email)
    if account is not None:
        return account[0]
    command = RegisterUser(
        email=person.email,
        password=person.password,
        display_name=person.name,
        language="ko",
        zone_id=zone_id,
        origin="bootstrap",
        # A student is one everywhere in the zone; who works for the organisation does so there alone.
        roles=(GrantedRole(person.role, org_id),),
        org_id=org_id,
    )
    try:
        return (await register_user(write, _context(new_id), command)).stream_id
    except EmailTaken:
        # Another start of this checkout was faster by a moment.
        account = await _account(write, person.email)
        assert account is not None
        return account[0]


async def _account(write: WriteSide, email: str) -> tuple[StreamId, Registered] | None:
    """Whoever is registered under the address."""
    user_id = await write.claims.holder(EMAIL_SCOPE, write.keyed_hash(normal_email(email)))
    if user_id is None:
        return None
    account: Loaded[Account] = await write.streams.read(USER, user_id)
    return (user_id, account.state) if isinstance(account.state, Registered) else None


def _context(new_id: Callable[[], str], command_id: str | None = None) -> CommandContext:
    """With a command id of its own an order may be given again; it is carried out once."""
    return CommandContext(
        actor=Actor("operator", "bootstrap"),
        zone_id=None,
        org_id=None,
        correlation_id=new_id(),
        command_id=command_id or new_id(),
        repeatable=command_id is not None,
    )


def _decoded(file: Path, content: bytes) -> DemoPlan:
    try:
        return msgspec.json.decode(content, type=DemoPlan)
    except msgspec.DecodeError as error:
        raise SecretFileError(
            f"{file} does not hold the demo set-up ({error}). Restore it from a backup; deleting it makes a "
            "new set-up beside the old one."
        ) from error


def _letters(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))
