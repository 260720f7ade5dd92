"""Policies: propose, revise, approve, activate, withdraw.

The log itself is asked, also by the route that reads.
"""

from datetime import timedelta
from typing import Annotated, Any, Final, Literal, assert_never

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.bodies import pointers_under, written
from commands.api.services import Services
from commands.policies import (
    ApprovePolicy,
    ProposePolicy,
    ReviseProposal,
    activate_policy,
    approve_policy,
    found_policies,
    propose_policy,
    revise_proposal,
    simulate_policy,
    withdraw_policy,
)
from commands.streams import Outcome
from domain.errors import Malformed
from domain.identifiers import category_of
from domain.policies.checking import rule_from
from domain.policies.policy import (
    Active,
    Approved,
    Over,
    Policy,
    PolicyNotFound,
    Proposed,
    Unproposed,
)
from domain.policies.rule import Rule
from infra.http.errors import RoleRequired
from infra.http.etags import ExpectedVersion
from infra.http.guards import CurrentPrincipal, require_role
from infra.http.moments import Moment
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, RequestModel, SafeText, StreamId


async def of_the_whole_system(principal: CurrentPrincipal) -> None:
    """Raises `RoleRequired`: an administrator's role in one organisation is none over the rules of all."""
    if not any(grant.role == "sys_admin" and grant.org_id is None for grant in principal.roles):
        raise RoleRequired(roles=["sys_admin"])


router = APIRouter(
    prefix="/api/v1/policies",
    tags=["policies"],
    route_class=ApiRoute,
    dependencies=[Depends(require_role("sys_admin")), Depends(of_the_whole_system)],
)

PolicyIdInPath = Annotated[str, Path(description="Id of the policy.", examples=[f"policy-{EXAMPLE_UUID7}"])]
Words = Annotated[str, SafeText(1, 2_000, multi_line=True)]

_RULE = {
    "id": "no-tutor-at-night",
    "title": {"ko": "심야에는 AI 튜터를 쓸 수 없습니다", "en": "No AI tutor at night"},
    "description": {"ko": "학생에게 적용됩니다.", "en": "For students."},
    "effect": "forbid",
    "roles": ["student"],
    "actions": ["use_ai_tutor"],
    "when": {"op": "<", "attribute": "context.hour", "value": 6},
}


SIMULATED: Final = timedelta(days=28)
LONGEST_SIMULATED: Final = timedelta(days=366)


class NoSuchPeriod(Malformed):
    """Carries `since` and `until`."""

    code = "no-such-period"
    title = "A period begins before it ends, and is a year long at most"


class Proposing(RequestModel):
    rule: dict[str, Any] | None = Field(
        default=None,
        description="The rule; `megacity policy schema` prints its JSON Schema. Absent where the policy that "
        "`replaces` names is to end.",
        examples=[_RULE],
    )
    replaces: Annotated[str, StreamId("policy")] | None = Field(
        default=None, description="The active policy in whose place it comes."
    )
    reason: Words = Field(examples=["Parents asked for it."])


class Approving(RequestModel):
    proposal_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="Of the proposal that was looked at: another one is not approved.",
        examples=["9b74c9897bac770ffc029102a200c5de9b74c9897bac770ffc029102a200c5de"],
    )
    reason: Words = Field(examples=["As discussed on Monday."])


class Activating(RequestModel):
    active_from: Moment | None = Field(
        default=None,
        description="A moment to come; absent: at once.",
        examples=["2199-03-09T00:00:00Z"],
    )


class Simulating(RequestModel):
    since: Moment | None = Field(
        default=None, description="Absent: four weeks before `until`.", examples=["2026-03-02T00:00:00Z"]
    )
    until: Moment | None = Field(default=None, description="Absent: now.", examples=["2026-03-09T00:00:00Z"])


class Withdrawing(RequestModel):
    reason: Words = Field(examples=["No longer needed."])


Status = Literal["proposed", "approved", "active", "superseded", "withdrawn"]


class PolicyState(BaseModel):
    policy_id: str
    status: Status
    version: int
    proposal_sha256: str | None = Field(description="What an approval is of; null once it is over.")
    widens: bool | None = Field(
        description="It may allow what was denied before, and needs a simulation. Known of a proposal alone."
    )
    simulated: bool | None = Field(description="Known of a proposal alone.")


@router.post(
    "",
    operation_id="proposePolicy",
    summary="Propose a policy",
    description="Nothing changes before somebody else has approved it. Faults of the rule are pointed at.",
    status_code=201,
    responses=problem_responses(400, 401, 403, 409, 413, 415, 422, 503),
)
async def propose(body: Proposing, response: Response, services: Services, asked: Asked) -> PolicyState:
    with pointers_under("/rule"):
        command = ProposePolicy(rule=_rule(body), reason=body.reason, replaces=body.replaces)
        outcome = await propose_policy(services.write, services.policy_engine, asked, command)
    return _answer(response, outcome)


@router.put(
    "/{policy_id}/proposal",
    operation_id="reviseProposal",
    summary="Change a proposal",
    description="Whoever does so cannot approve it; a simulation of the earlier form counts no more.",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
)
async def revise(
    policy_id: PolicyIdInPath,
    body: Proposing,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> PolicyState:
    with pointers_under("/rule"):
        command = ReviseProposal(
            policy_id=_known(policy_id),
            rule=_rule(body),
            reason=body.reason,
            replaces=body.replaces,
            expected_version=expected_version,
        )
        outcome = await revise_proposal(services.write, services.policy_engine, asked, command)
    return _answer(response, outcome)


class Flip(BaseModel):
    role: str = Field(description="All roles of whoever asked, with `+` between them.")
    zone: str | None
    decided_by: str | None = Field(description="The rule that decides then; null where nothing permits it.")
    now: Literal["allow", "deny"] = Field(description="What it would be.")
    count: int


class SimulationReport(PolicyState):
    after_position: int
    up_to_position: int
    decisions: int = Field(description="How many recorded decisions it was tried on.")
    flips: list[Flip] = Field(description="Those that would be others, most frequent first.")


@router.post(
    "/{policy_id}/simulations",
    operation_id="simulatePolicy",
    summary="Try a proposal out on recorded decisions",
    description="Each decision that was recorded or counted in the period is made again, by the rules in "
    "force and with the proposal among them. A proposal that may widen access is approved after this alone.",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def simulate(
    policy_id: PolicyIdInPath, body: Simulating, response: Response, services: Services, asked: Asked
) -> SimulationReport:
    until = body.until or services.clock()
    since = body.since or until - SIMULATED
    if not since < until <= since + LONGEST_SIMULATED:
        raise NoSuchPeriod(since=since.isoformat(), until=until.isoformat())
    outcome, simulation = await simulate_policy(
        services.write,
        services.simulator,
        services.access_rules.policies.in_force().rules,
        asked,
        _known(policy_id),
        since=since,
        until=until,
    )
    written(response, outcome.stream_id, outcome.version)
    return SimulationReport(
        **_shown(outcome.stream_id, outcome.state, outcome.version),
        after_position=simulation.after_position,
        up_to_position=simulation.up_to_position,
        decisions=simulation.decisions,
        flips=[Flip.model_validate(each, from_attributes=True) for each in simulation.flips],
    )


@router.post(
    "/{policy_id}/approve",
    operation_id="approvePolicy",
    summary="Approve a proposal of somebody else",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def approve(
    policy_id: PolicyIdInPath, body: Approving, response: Response, services: Services, asked: Asked
) -> PolicyState:
    command = ApprovePolicy(
        policy_id=_known(policy_id), proposal_sha256=body.proposal_sha256, reason=body.reason
    )
    return _answer(response, await approve_policy(services.write, asked, command))


@router.post(
    "/{policy_id}/activate",
    operation_id="activatePolicy",
    summary="Bring an approved policy into force",
    description="What it replaces ends at the same moment. Changes nothing where it is active. This process "
    "decides by it before it answers, every other one within a second.",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def activate(
    policy_id: PolicyIdInPath, body: Activating, response: Response, services: Services, asked: Asked
) -> PolicyState:
    known, rules = _known(policy_id), services.access_rules
    # A log with this rule in force and none else would deny all that the founding ones permit.
    await found_policies(services.write, asked, rules.founding)
    outcome = await activate_policy(services.write, asked, known, body.active_from)
    await rules.policies.include(known, outcome.version)
    return _answer(response, outcome)


@router.post(
    "/{policy_id}/withdraw",
    operation_id="withdrawPolicy",
    summary="Take back a proposal, or an active permit",
    description="An active policy that forbids ends by a proposal that replaces it. A withdrawn permit "
    "is out of force in this process before it answers, and in every other one within a second.",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def withdraw(
    policy_id: PolicyIdInPath, body: Withdrawing, response: Response, services: Services, asked: Asked
) -> PolicyState:
    known = _known(policy_id)
    outcome = await withdraw_policy(services.write, asked, known, body.reason)
    await services.access_rules.policies.include(known, outcome.version)
    return _answer(response, outcome)


def _known(policy_id: str) -> str:
    """Raises `PolicyNotFound` for what cannot be the id of a policy."""
    if category_of(policy_id) != "policy":
        raise PolicyNotFound
    return policy_id


def _rule(body: Proposing) -> Rule | None:
    return None if body.rule is None else rule_from(body.rule)


def _answer(response: Response, outcome: Outcome[Policy]) -> PolicyState:
    written(response, outcome.stream_id, outcome.version)
    return PolicyState(**_shown(outcome.stream_id, outcome.state, outcome.version))


def _shown(policy_id: str, state: Policy, version: int) -> dict[str, Any]:
    proposed = state if isinstance(state, Proposed) else None
    return {
        "policy_id": policy_id,
        "status": _status(state),
        "version": version,
        "proposal_sha256": state.sha256 if isinstance(state, Proposed | Approved) else None,
        "widens": None if proposed is None else proposed.widens,
        "simulated": None if proposed is None else proposed.simulation is not None,
    }


def _status(state: Policy) -> Status:
    match state:
        case Proposed():
            return "proposed"
        case Approved():
            return "approved"
        case Active():
            return "active"
        case Over(withdrawn):
            return "withdrawn" if withdrawn else "superseded"
        case Unproposed():
            raise PolicyNotFound
        case _:
            assert_never(state)
