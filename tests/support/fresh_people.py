"""People who have just signed in, without the cost of a password: for what only they may do."""

import itertools
from typing import Any

from commands.context import CommandContext
from commands.kinds import USER
from domain.events import Actor
from domain.identifiers import stream_id
from domain.users.account import GrantedRole, register
from domain.users.events import UserRegistered
from infra.composition import new_id
from infra.http.principal import Principal, RoleGrant
from tests.support.api import ZONE, Api, Person

_numbers = itertools.count(1)


def fresh_person(api: Api, *, has_password: bool = True) -> Person:
    """Signed in a moment ago; the password that they may have is one that nobody knows."""
    user_id = stream_id("user", new_id())
    email = f"fresh-{next(_numbers)}@example.org"
    registered = UserRegistered(
        origin="self",
        zone_id=ZONE,
        display_name="민지",
        language="ko",
        email=email,
        credential_id=new_id() if has_password else None,
    )
    context = CommandContext(
        actor=Actor("operator", "tests"),
        zone_id=ZONE,
        org_id=None,
        correlation_id=new_id(),
        command_id=new_id(),
    )
    roles = (GrantedRole("student"),)
    executed = api.write.streams.execute(
        context, USER, user_id, lambda state: register(state, registered, roles)
    )
    api.run(executed)
    return session_of(api, user_id, email)


def session_of(api: Api, user_id: str, email: str | None = None) -> Person:
    """The same person, in a session that has just begun."""
    session_id = new_id()
    client: Any = type("Browser", (), {"user_agent": None, "address": None})
    services = api.services
    api.run(services.refresh_tokens.start(user_id, session_id, services.clock(), client=client))
    principal = Principal(
        subject_id=user_id, zone_id=ZONE, roles=(RoleGrant("student"),), session_id=session_id
    )
    token = services.access_tokens.issue(principal)[0]
    return Person(user_id=user_id, token=token, http=api.client(token), email=email)
