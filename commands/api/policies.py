"""Policies: propose, revise, approve, activate, withdraw.

The log itself is asked, also by the route that reads.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, assert_never

import msgspec
from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.bodies import pointers_under, written
from commands.api.services import Services
from commands.kinds import POLICY
from commands.policies import (
    ApprovePolicy,
    ProposePolicy,
    ReviseProposal,
    activate_policy,
    approve_policy,
    propose_policy,
    revise_proposal,
    withdraw_policy,
)
from commands.streams import Loaded, Outcome
from domain.identifiers import category_of
from domain.policies.cedar import cedar_text
from domain.policies.checking import rule_from
from domain.policies.policy import (
    Active,
    Approved,
    Over,
    Policy,
    PolicyNotFound,
    Proposed,
    Unproposed,
    rule_of,
)
from domain.policies.rule import Rule, canonical
from infra.http.consistency import SentConsistencyToken
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


class PolicyDetails(PolicyState):
    rule: dict[str, Any] | None
    replaces: str | None
    cedar: str | None = Field(description="What the rule is compiled to.")
    proposers: list[str] = Field(description="Who had a hand in the proposal, and cannot approve it.")
    active_from: datetime | None = Field(description="Null where it is in force since its activation.")


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


@router.get(
    "/{policy_id}",
    operation_id="getPolicy",
    summary="A policy as it now stands",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_policy(
    policy_id: PolicyIdInPath, services: Services, _own_write: SentConsistencyToken
) -> PolicyDetails:
    loaded = await services.write.streams.read(POLICY, _known(policy_id))
    if isinstance(loaded.state, Unproposed):
        raise PolicyNotFound
    return _details(policy_id, loaded)


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
    description="What it replaces ends at the same moment. Changes nothing where it is active.",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def activate(
    policy_id: PolicyIdInPath, body: Activating, response: Response, services: Services, asked: Asked
) -> PolicyState:
    known = _known(policy_id)
    return _answer(response, await activate_policy(services.write, asked, known, body.active_from))


@router.post(
    "/{policy_id}/withdraw",
    operation_id="withdrawPolicy",
    summary="Take back a proposal, or an active permit",
    description="An active policy that forbids ends by a proposal that replaces it.",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def withdraw(
    policy_id: PolicyIdInPath, body: Withdrawing, response: Response, services: Services, asked: Asked
) -> PolicyState:
    known = _known(policy_id)
    return _answer(response, await withdraw_policy(services.write, asked, known, body.reason))


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


def _details(policy_id: str, loaded: Loaded[Policy]) -> PolicyDetails:
    state = loaded.state
    rule = rule_of(state)
    proposal = state.proposal if isinstance(state, Proposed | Approved | Active) else None
    return PolicyDetails(
        **_shown(policy_id, state, loaded.version),
        rule=None if rule is None else _json(rule),
        replaces=None if proposal is None else proposal.replaces,
        cedar=None if rule is None else cedar_text(policy_id, rule),
        proposers=list(state.proposers) if isinstance(state, Proposed) else [],
        active_from=state.active_from if isinstance(state, Active) else None,
    )


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


def _json(rule: Rule) -> dict[str, Any]:
    return dict(msgspec.json.decode(canonical(rule)))
