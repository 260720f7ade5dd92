"""Policies: all of them, those that wait for somebody's approval, and one as it stands."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from domain.identifiers import category_of
from domain.policies.cedar import cedar_text
from domain.policies.policy import PolicyNotFound
from domain.policies.rule import Rule
from infra.http.errors import RoleRequired
from infra.http.etags import ETAG_HEADER, etag
from infra.http.guards import require_role
from infra.http.paging import Page, Paging, encode_cursor
from infra.http.principal import Principal
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7
from projections.policies import queries
from projections.policies.queries import Status
from read_api.services import Read

_PROJECTION = "policies"


async def of_the_whole_system(
    principal: Annotated[Principal, Depends(require_role("sys_admin"))],
) -> Principal:
    """Raises `RoleRequired`: an administrator's role in one organisation is none over the rules of all."""
    if not any(grant.role == "sys_admin" and grant.org_id is None for grant in principal.roles):
        raise RoleRequired(roles=["sys_admin"])
    return principal


Administrator = Annotated[Principal, Depends(of_the_whole_system)]

router = APIRouter(prefix="/api/v1/policies", tags=["policies"], route_class=ApiRoute)


class PolicyListed(BaseModel):
    policy_id: str = Field(examples=[f"policy-{EXAMPLE_UUID7}"])
    status: Status
    rule_id: str | None = Field(description="Null where it only ends what it replaces.")
    title: dict[str, str] | None
    effect: str | None
    replaces: str | None
    proposal_sha256: str | None = Field(description="What an approval is of; null once it is over.")
    widens: bool | None = Field(
        description="It may allow what was denied before, and needs a simulation. Known of a proposal alone."
    )
    simulated: bool | None = Field(description="Known of a proposal alone.")
    proposers: list[str] = Field(description="Who had a hand in the proposal, and cannot approve it.")
    reason: str | None = Field(description="What the last proposer said.")
    proposed_at: datetime | None
    approved_by: str | None
    activated_at: datetime | None
    active_from: datetime | None = Field(
        description="Null where it is in force since its activation, or not in force."
    )
    superseded_by: str | None
    version: int


class FlipsShown(BaseModel):
    """Decisions that would be others, by role, zone and the rule that decides then."""

    role: str
    zone: str | None
    decided_by: str | None = Field(description="Null where nothing would permit it any more.")
    now: str = Field(description="`allow` or `deny`: what it would be.")
    count: int


class SimulationShown(BaseModel):
    after_position: int
    up_to_position: int
    decisions: int
    flips: list[FlipsShown]


class PolicyDetails(PolicyListed):
    rule: dict[str, Any] | None
    cedar: str | None = Field(description="What the rule is compiled to.")
    simulation: SimulationShown | None = Field(description="Of exactly this proposal.")


PolicyIdInPath = Annotated[str, Path(description="Id of the policy.", examples=[f"policy-{EXAMPLE_UUID7}"])]


@router.get(
    "",
    operation_id="listPolicies",
    summary="Policies, newest first",
    responses=problem_responses(401, 403, 422, 503),
)
async def list_policies(
    principal: Administrator,
    read: Read,
    paging: Paging,
    status: Annotated[Status | None, Query(description="Only those that stand so.")] = None,
) -> Page[PolicyListed]:
    before = paging.start_after("policies", str)
    async with read.of(principal, _PROJECTION) as connection:
        found = await queries.policies(connection, status=status, before=before, limit=paging.limit + 1)
    return _page("policies", found, paging.limit)


@router.get(
    "/queue",
    operation_id="listPoliciesAwaitingApproval",
    summary="Proposals that the asker may approve, those that wait longest first",
    description="Without those in which the asker had a hand. One that may widen access and has no "
    "simulation yet is in the list: it waits for that first.",
    responses=problem_responses(401, 403, 422, 503),
)
async def list_awaiting_approval(principal: Administrator, read: Read, paging: Paging) -> Page[PolicyListed]:
    after = paging.start_after("policies-queue", str)
    async with read.of(principal, _PROJECTION) as connection:
        found = await queries.awaiting_approval(
            connection, asker=principal.subject_id, after=after, limit=paging.limit + 1
        )
    return _page("policies-queue", found, paging.limit)


@router.get(
    "/{policy_id}",
    operation_id="getPolicy",
    summary="A policy as it now stands",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_policy(
    policy_id: PolicyIdInPath, principal: Administrator, read: Read, response: Response
) -> PolicyDetails:
    if category_of(policy_id) != "policy":
        raise PolicyNotFound
    async with read.of(principal, _PROJECTION) as connection:
        found = await queries.policy(connection, policy_id)
    if found is None:
        raise PolicyNotFound
    response.headers[ETAG_HEADER] = etag(found["version"])
    rule = found["rule"]
    return PolicyDetails(
        **_listed(found),
        rule=rule,
        cedar=None if rule is None else cedar_text(policy_id, msgspec.convert(rule, Rule)),
        simulation=found["simulation"],
    )


def _page(name: str, found: list[dict[str, Any]], limit: int) -> Page[PolicyListed]:
    shown = [PolicyListed(**_listed(row)) for row in found[:limit]]
    more = len(found) > limit
    return Page(items=shown, next_cursor=encode_cursor(name, shown[-1].policy_id) if more else None)


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    rule = row["rule"] or {}
    proposed = row["status"] == "proposed"
    shown = {
        **row,
        "rule_id": rule.get("id"),
        "title": rule.get("title"),
        "effect": rule.get("effect"),
        "proposal_sha256": row["proposal_sha256"] if row["status"] in {"proposed", "approved"} else None,
        "widens": row["widens"] if proposed else None,
        "simulated": row["simulation"] is not None if proposed else None,
    }
    return {name: shown[name] for name in PolicyListed.model_fields}
