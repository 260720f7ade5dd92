"""Questions about access: "may I?", for frontends and for services such as the tutor."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from commands.access import Answered, Gathered, Wish, decide_access
from commands.api.asking import Asked, organizations_with
from commands.api.bodies import UserId
from commands.api.services import Services, WriteServices
from domain.errors import Malformed
from domain.policies.access import Action, Reason, ResourceKind
from domain.policies.catalogue import APPLIES_TO
from domain.policies.policy_set import PolicySet
from domain.users.account import UserNotFound
from domain.zones import ZoneId
from infra.http.access_principal import of_token
from infra.http.guards import CurrentPrincipal
from infra.http.principal import Principal
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, RequestModel, SafeText

router = APIRouter(prefix="/api/v1/access", tags=["access"], route_class=ApiRoute)

MAX_QUESTIONS = 100


class NotAboutThat(Malformed):
    """An action is asked about with a resource of a kind that it is never done to; carries `errors`."""

    code = "not-about-that"
    title = "This action is not about a resource of this kind"


class ResourceNamed(RequestModel):
    kind: ResourceKind
    id: Annotated[str, SafeText(1, 200)] = Field(
        description="Of a zone, exam, attempt, user or organisation: its id. A feature: its name.",
        examples=["ai-tutor"],
    )
    zone: ZoneId | None = Field(
        default=None,
        description="Of a feature; absent: that of whom the question is about. What else is of which zone, "
        "organisation or person is looked up.",
    )


class ContextTold(RequestModel):
    via: Literal["web", "app"] | None = Field(default=None, description="How it would be done.")


class AccessQuestion(RequestModel):
    action: Action = Field(examples=["use_ai_tutor"])
    resource: ResourceNamed
    context: ContextTold = ContextTold()


class AccessQuestions(RequestModel):
    principal: UserId | None = Field(
        default=None,
        description="Whom it is about; absent: oneself. A service asks about people of its organisation, an "
        "administrator of the whole system about anybody.",
    )
    requests: list[AccessQuestion] = Field(min_length=1, max_length=MAX_QUESTIONS)


class DecidingPolicy(BaseModel):
    policy_id: str = Field(examples=[f"policy-{EXAMPLE_UUID7}"])
    rule: str = Field(examples=["no-tutor-during-an-exam"])
    title: dict[str, str]


class DecisionMade(BaseModel):
    allowed: bool
    reason: Reason = Field(
        description="`no_permit`: nothing forbids it, and nothing permits it. `unevaluable`: a rule could "
        "not be evaluated, which denies."
    )
    decided_by: list[DecidingPolicy] = Field(
        description="The policies that forbid it, or else those that permit it."
    )
    decision_id: str | None = Field(
        description="Under which it can be explained (`megacity policy explain`). Null for an ordinary "
        "permit, which is only counted."
    )


class DecisionsMade(BaseModel):
    position: int = Field(description="In the log, as of which the rules were in force.")
    since: datetime | None = Field(description="The moment that brought the last of them into force.")
    decisions: list[DecisionMade] = Field(description="In the order of the questions.")


@router.post(
    "/decisions",
    operation_id="decideAccess",
    summary="May somebody do something?",
    description="Decided by the policies in force. What is known of the person (zone, organisations, roles, "
    "a running exam, the subscription, age) is looked up, never taken from the request. Refusals and the use "
    "of special rights are recorded. Under an idempotency key the first answer is given again.",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def decide(
    body: AccessQuestions, services: Services, asked: Asked, principal: CurrentPrincipal
) -> DecisionsMade:
    _refuse_what_is_about_nothing(body)
    asker = await _asker(services, principal, body.principal)
    via = "service" if principal.kind == "service" else None
    wishes = [
        Wish(
            action=each.action,
            kind=each.resource.kind,
            resource_id=each.resource.id,
            zone=each.resource.zone,
            via=each.context.via or via,
        )
        for each in body.requests
    ]
    access = services.access_rules
    rules, answers = await decide_access(
        access.policies, access.records, services.write, asked, asker=asker, wishes=wishes
    )
    return DecisionsMade(
        position=rules.position, since=rules.since, decisions=[_shown(rules, each) for each in answers]
    )


async def _asker(services: WriteServices, principal: Principal, wanted: str | None) -> Gathered:
    """Whom it is about. Raises `UserNotFound` for whoever is none of the asker's business, too."""
    if wanted is None and principal.kind == "service":
        return Gathered(principal=of_token(principal), versions={})
    gathered = await services.access_rules.attributes.of(wanted or principal.subject_id)
    if wanted in {None, principal.subject_id}:
        return gathered
    if any(grant.role == "sys_admin" and grant.org_id is None for grant in principal.roles):
        return gathered
    served = organizations_with(principal, ("service",)) if principal.kind == "service" else frozenset()
    if served.isdisjoint(gathered.principal.organizations or ()):
        raise UserNotFound
    return gathered


def _refuse_what_is_about_nothing(body: AccessQuestions) -> None:
    errors = [
        {
            "in": "body",
            "pointer": f"#/requests/{index}/resource/kind",
            "code": "not-about-that",
            "detail": f"{each.action} is about: {', '.join(APPLIES_TO[each.action])}.",
        }
        for index, each in enumerate(body.requests)
        if each.resource.kind not in APPLIES_TO[each.action]
    ]
    if errors:
        raise NotAboutThat(errors=errors)


def _shown(rules: PolicySet, answered: Answered) -> DecisionMade:
    by_id = {each.policy_id: each.rule for each in rules.rules}
    decision = answered.decision
    return DecisionMade(
        allowed=decision.allowed,
        reason=decision.reason,
        decided_by=[
            DecidingPolicy(policy_id=each, rule=by_id[each].id, title=dict(by_id[each].title))
            for each in decision.decided_by
        ],
        decision_id=answered.decision_id,
    )
