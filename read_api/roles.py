"""Roles that wait to be confirmed. For system administrators."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from domain.users.role_reviews import keeper_of
from domain.zones import Role, ZoneId
from infra.http.guards import require_role
from infra.http.principal import Principal
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from projections.role_reviews.queries import reviewed_roles
from read_api.services import Read, Services

router = APIRouter(prefix="/api/v1/roles", tags=["roles"], route_class=ApiRoute)


class DueRole(BaseModel):
    user_id: str
    role: Role
    zone_id: ZoneId | None
    granted_at: datetime
    granted_by: str
    confirmed_at: datetime | None
    confirmed_by: str | None
    due_at: datetime = Field(description="It lapses then, unless somebody else confirms it before.")
    standing: Literal["due", "overdue"]
    kept: bool = Field(
        description="It does not lapse: of all system administrators this one was confirmed last, and "
        "without any nobody could confirm anything."
    )


class DueRoles(BaseModel):
    roles: list[DueRole]


@router.get(
    "/due",
    operation_id="listDueRoles",
    summary="Roles that have to be confirmed soon",
    description="Administrators of zones and of the system, the one whose time ends first at the top. "
    "Confirm with `POST /users/{user_id}/roles/{role}/confirm`.",
    responses=problem_responses(401, 403, 422, 503),
)
async def list_due_roles(
    principal: Annotated[Principal, Depends(require_role("sys_admin"))], read: Read, services: Services
) -> DueRoles:
    async with read.of(principal, "role_reviews") as connection:
        held = await reviewed_roles(connection)
    rules, now, keeper = services.review_rules, services.clock(), keeper_of(held)
    return DueRoles(
        roles=[
            DueRole(
                user_id=each.user_id,
                role=each.role,
                zone_id=each.zone_id,
                granted_at=each.granted_at,
                granted_by=each.granted_by,
                confirmed_at=each.confirmed_at,
                confirmed_by=each.confirmed_by,
                due_at=each.due_at(rules),
                standing=standing,
                kept=each == keeper,
            )
            for each in held
            if (standing := each.standing(rules, now)) != "confirmed"
        ]
    )
