"""From a request to the context of a command: who asks, and for which organisation."""

from collections.abc import Collection
from typing import Annotated

import msgspec
from fastapi import Depends, Request

from commands.context import CommandContext
from domain.errors import Malformed
from domain.events import Actor
from domain.identifiers import StreamId
from domain.organizations.organization import OrganizationNotFound
from domain.zones import ZoneId
from infra.http.guards import AttemptPrincipal, CurrentPrincipal
from infra.http.idempotency import CommandId
from infra.http.principal import Principal

STAFF_ROLES = frozenset({"teacher", "org_admin", "service"})
"""Who may work on an organisation's items and exams."""


class OrganizationRequired(Malformed):
    """The asker works for several organisations, or for none, and names none."""

    code = "organization-required"
    title = "Say for which organisation"


def organizations_with(principal: Principal, roles: Collection[str]) -> frozenset[StreamId]:
    """The organisations in which the asker holds one of the roles."""
    return frozenset(
        grant.org_id for grant in principal.roles if grant.role in roles and grant.org_id is not None
    )


def context_of(request: Request, principal: Principal, command_id: str) -> CommandContext:
    return CommandContext(
        actor=(
            Actor(principal.kind, principal.subject_id)
            if principal.delegate is None
            else Actor("service", principal.delegate)
        ),
        acting_as=None if principal.delegate is None else principal.subject_id,
        zone_id=msgspec.convert(principal.zone_id, ZoneId),
        org_id=None,
        correlation_id=request.state.request_id,
        command_id=command_id,
        staff_of=organizations_with(principal, STAFF_ROLES),
        repeatable=getattr(request.state, "command_id", None) is not None,
    )


async def _asked(request: Request, principal: CurrentPrincipal, command_id: CommandId) -> CommandContext:
    return context_of(request, principal, command_id)


Asked = Annotated[CommandContext, Depends(_asked)]
"""The context of a command that somebody who is signed in gives."""


async def _asked_in_attempt(
    request: Request, principal: AttemptPrincipal, command_id: CommandId
) -> CommandContext:
    return context_of(request, principal, command_id)


AskedInAttempt = Annotated[CommandContext, Depends(_asked_in_attempt)]
"""The context of a command within an attempt: signed in, or with the attempt's own token."""


def acting_organization(context: CommandContext, wanted: StreamId | None) -> StreamId:
    """The organisation asked for, or the only one that the asker works for.

    Raises `OrganizationNotFound` or `OrganizationRequired`.
    """
    if wanted is not None:
        context.require_staff_of(wanted, OrganizationNotFound)
        return wanted
    if len(context.staff_of) != 1:
        error = {
            "in": "body",
            "pointer": "#/org_id",
            "code": "organization-required",
            "detail": "You work for several organisations, or for none.",
        }
        raise OrganizationRequired(errors=[error])
    [only] = context.staff_of
    return only
