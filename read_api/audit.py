"""Who did what: for those who administer a zone or an organisation."""

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from domain.zones import ZoneId
from infra.http.guards import require_role
from infra.http.moments import Moment
from infra.http.paging import Page, Paging, encode_cursor
from infra.http.principal import Principal
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, SafeText
from projections.audit.actions import Action
from projections.audit.queries import Criteria, entries
from read_api.services import Read

router = APIRouter(prefix="/api/v1/audit-entries", tags=["audit"], route_class=ApiRoute)

Administrator = Annotated[Principal, Depends(require_role("sys_admin", "zone_admin", "org_admin"))]
"""Who may ask; row-level security says about which zone and which organisations."""

_LIST_NAME = "audit-entries"


class AuditEntry(BaseModel):
    """One event of the log, as auditors read it. Personal data are not in it: people are named by id."""

    position: int = Field(description="Of the event in the log.")
    recorded_at: datetime
    actor_kind: str = Field(examples=["user"])
    actor_id: str = Field(examples=[f"user-{EXAMPLE_UUID7}"])
    zone_id: ZoneId | None
    org_id: str | None
    action: Action
    resource_category: str = Field(examples=["exam"])
    resource_id: str = Field(examples=[f"exam-{EXAMPLE_UUID7}"])
    resource_version: int
    type: str = Field(examples=["exam.published.v1"])
    event_id: str
    correlation_id: str = Field(description="Shared by everything that followed from one request.")
    causation_id: str = Field(description="Of the command that did it.")


class _Place(msgspec.Struct, frozen=True, array_like=True):
    recorded_at: Annotated[datetime, msgspec.Meta(tz=True)]
    position: int


@router.get(
    "",
    operation_id="listAuditEntries",
    summary="What was done, newest first",
    description="A zone's administrators see their zone, an organisation's administrators what was recorded "
    "for their organisation. Entries come from the event log itself; nothing else can write them.",
    responses=problem_responses(401, 403, 422, 503),
)
async def list_audit_entries(
    principal: Administrator,
    read: Read,
    paging: Paging,
    actor: Annotated[
        Annotated[str, SafeText(1, 200)] | None, Query(description="Only what this user or service did.")
    ] = None,
    action: Annotated[Action | None, Query(description="Only this.")] = None,
    since: Annotated[Moment | None, Query(description="Recorded then or later.")] = None,
    until: Annotated[Moment | None, Query(description="Recorded before then.")] = None,
) -> Page[AuditEntry]:
    before = paging.start_after(_LIST_NAME, _Place)
    wanted = Criteria(actor=actor, action=action, since=since, until=until)
    async with read.of(principal, "audit") as connection:
        found = await entries(
            connection,
            wanted,
            before=None if before is None else (before.recorded_at, before.position),
            limit=paging.limit + 1,
        )
    shown = [AuditEntry.model_validate(row) for row in found[: paging.limit]]
    if len(found) <= paging.limit:
        return Page(items=shown)
    last = shown[-1]
    return Page(items=shown, next_cursor=encode_cursor(_LIST_NAME, (last.recorded_at, last.position)))
