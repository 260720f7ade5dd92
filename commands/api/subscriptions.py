"""Subscriptions: what administrators order, and what the payment provider tells."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from commands.api.asking import Asked
from commands.api.bodies import UserId, written
from commands.api.services import Services
from commands.context import CommandContext
from commands.streams import Outcome
from commands.subscriptions import (
    CancelSubscription,
    PaymentNews,
    Reach,
    RenewSubscription,
    StartSubscription,
    cancel_subscription,
    hear_of_payment,
    renew_subscription,
    start_subscription,
)
from domain.errors import Malformed
from domain.events import Actor
from domain.subscriptions.events import PLAN_PATTERN
from domain.subscriptions.subscription import Active, Cancelled, NotSubscribed, Subscription
from domain.zones import ZoneId
from infra.http.guards import CurrentPrincipal, require_role
from infra.http.moments import Moment
from infra.http.principal import Principal
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, RequestModel, SafeText
from infra.http.webhooks import SignedWebhook

router = APIRouter(prefix="/api/v1", tags=["subscriptions"], route_class=ApiRoute)

ADMINISTRATORS = ("zone_admin", "sys_admin")
PROVIDER = Actor("service", "payments")
"""Whoever signs the webhooks."""

SubscriptionIdInPath = Annotated[
    str, Path(description="Id of the subscription.", examples=[f"subscription-{EXAMPLE_UUID7}"])
]
PlanName = Annotated[str, Field(pattern=PLAN_PATTERN, examples=["premium"])]
PaymentRef = Annotated[str, SafeText(1, 100)]


class UnusablePaymentEvent(Malformed):
    """The signature is right, and what was signed is no payment event; `errors` says what is wrong."""

    code = "unusable-payment-event"
    title = "This is no payment event"


class Starting(RequestModel):
    user_id: UserId
    plan: PlanName
    paid_until: Moment = Field(examples=["2027-03-01T00:00:00Z"])
    payment_ref: PaymentRef | None = Field(
        default=None, description="By which the payment can be found.", examples=["order 2026-0317"]
    )


class Renewing(RequestModel):
    paid_until: Moment = Field(examples=["2027-04-01T00:00:00Z"])
    plan: PlanName | None = Field(default=None, description="Left out: the same as before.")
    payment_ref: PaymentRef | None = Field(default=None, examples=["order 2026-0412"])


class Cancelling(RequestModel):
    reason: Annotated[str, SafeText(1, 500)] = Field(examples=["asked for by the parent"])


class SubscriptionState(BaseModel):
    subscription_id: str
    user_id: str
    plan: str
    status: Literal["active", "cancelled", "expired"] = Field(
        description="What is cancelled is open until `paid_until`."
    )
    paid_until: datetime
    version: int


class PaymentHeard(BaseModel):
    outcome: Literal["applied", "no_effect"] = Field(
        description="`no_effect`: known already, older than what is known, or of a type that is not for us."
    )


@router.post(
    "/subscriptions",
    operation_id="startSubscription",
    summary="Start somebody's subscription",
    description="For administrators of the system, and of the person's zone. One whose time is over can be "
    "started anew; it keeps its id.",
    status_code=201,
    dependencies=[Depends(require_role(*ADMINISTRATORS))],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def start(
    body: Starting, response: Response, services: Services, asked: Asked, principal: CurrentPrincipal
) -> SubscriptionState:
    command = StartSubscription(
        user_id=body.user_id, plan=body.plan, paid_until=body.paid_until, payment_ref=body.payment_ref
    )
    return _answer(response, await start_subscription(services.write, asked, _reach(principal), command))


@router.post(
    "/subscriptions/{subscription_id}/renewals",
    operation_id="renewSubscription",
    summary="Renew a subscription",
    description="`paid_until` has to be later than it was. What was cancelled, or is over, goes on.",
    status_code=201,
    dependencies=[Depends(require_role(*ADMINISTRATORS))],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def renew(
    subscription_id: SubscriptionIdInPath,
    body: Renewing,
    response: Response,
    services: Services,
    asked: Asked,
    principal: CurrentPrincipal,
) -> SubscriptionState:
    command = RenewSubscription(
        subscription_id=subscription_id,
        paid_until=body.paid_until,
        plan=body.plan,
        payment_ref=body.payment_ref,
    )
    return _answer(response, await renew_subscription(services.write, asked, _reach(principal), command))


@router.post(
    "/subscriptions/{subscription_id}/cancellation",
    operation_id="cancelSubscription",
    summary="Cancel a subscription",
    description="It stays open until the end of what is paid for. Changes nothing where it is cancelled.",
    dependencies=[Depends(require_role(*ADMINISTRATORS))],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def cancel(
    subscription_id: SubscriptionIdInPath,
    body: Cancelling,
    response: Response,
    services: Services,
    asked: Asked,
    principal: CurrentPrincipal,
) -> SubscriptionState:
    command = CancelSubscription(subscription_id=subscription_id, reason=body.reason)
    return _answer(response, await cancel_subscription(services.write, asked, _reach(principal), command))


class PaymentData(BaseModel):
    """Providers add to their messages as they like: what we do not know is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    user_id: UserId
    plan: PlanName | None = None
    paid_until: Moment | None = None
    payment_ref: PaymentRef | None = None


class PaymentEvent(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Annotated[str, SafeText(1, 100)]
    timestamp: Moment
    data: PaymentData


_EVENT: TypeAdapter[PaymentEvent] = TypeAdapter(PaymentEvent)
_EVENT_TYPES: dict[str, Literal["paid", "cancelled"]] = {
    "subscription.started": "paid",
    "subscription.renewed": "paid",
    "subscription.cancelled": "cancelled",
}
_EVENT_EXAMPLE: dict[str, Any] = {
    "type": "subscription.renewed",
    "timestamp": "2026-03-01T09:00:00Z",
    "data": {
        "user_id": f"user-{EXAMPLE_UUID7}",
        "plan": "premium",
        "paid_until": "2026-04-01T00:00:00Z",
        "payment_ref": "order 2026-0317",
    },
}


@router.post(
    "/webhooks/payments",
    operation_id="receivePaymentEvent",
    summary="Take in what the payment provider tells",
    description="Signed as Standard Webhooks 1.0 has it; by its id a message counts once. "
    "Messages may come in any order and more than once. See docs/subscriptions.md.",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["type", "timestamp", "data"],
                        "properties": {
                            "type": {
                                "type": "string",
                                "description": f"One of {', '.join(_EVENT_TYPES)}; others have no effect.",
                            },
                            "timestamp": {
                                "type": "string",
                                "format": "date-time",
                                "description": "When it happened: by this the newer is told from the older.",
                            },
                            "data": {
                                "type": "object",
                                "description": "`user_id`; of a payment also `plan` and `paid_until`, and "
                                "`payment_ref` if there is one.",
                            },
                        },
                    },
                    "example": _EVENT_EXAMPLE,
                }
            },
        }
    },
)
async def receive_payment_event(
    message: SignedWebhook, response: Response, services: Services
) -> PaymentHeard:
    news = _news_in(message.message_id, message.body)
    if news is None:
        return PaymentHeard(outcome="no_effect")
    command_id = services.new_id()
    context = CommandContext(
        actor=PROVIDER, zone_id=None, org_id=None, correlation_id=command_id, command_id=command_id
    )
    outcome = await hear_of_payment(services.write, context, news)
    if not outcome.events:
        return PaymentHeard(outcome="no_effect")
    written(response, outcome.stream_id, outcome.version)
    return PaymentHeard(outcome="applied")


def _news_in(event_id: str, body: bytes) -> PaymentNews | None:
    """None where it is of a type that is not for us. Raises `UnusablePaymentEvent`."""
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise UnusablePaymentEvent(errors=[_wrong("", "malformed-json", "This is not JSON.")]) from None
    kind = document.get("type") if isinstance(document, dict) else None
    if isinstance(kind, str) and kind not in _EVENT_TYPES:
        return None  # the specification asks for a 2xx: else it would be sent again for days
    try:
        event = _EVENT.validate_python(document)
    except ValidationError as error:
        raise UnusablePaymentEvent(errors=_errors_of(error)) from None
    what, data = _EVENT_TYPES[event.type], event.data
    if what == "paid" and (data.plan is None or data.paid_until is None):
        missing = "plan" if data.plan is None else "paid_until"
        raise UnusablePaymentEvent(errors=[_wrong(f"/data/{missing}", "missing", "Field required")])
    return PaymentNews(
        event_id=event_id,
        user_id=data.user_id,
        occurred_at=event.timestamp,
        what=what,
        plan=data.plan,
        paid_until=data.paid_until,
        payment_ref=data.payment_ref,
    )


def _errors_of(error: ValidationError) -> list[dict[str, str]]:
    return [
        _wrong("".join(f"/{step}" for step in found["loc"]), found["type"].replace("_", "-"), found["msg"])
        for found in error.errors(include_url=False, include_input=False)[:100]
    ]


def _wrong(pointer: str, code: str, detail: str) -> dict[str, str]:
    return {"in": "body", "pointer": f"#{pointer}", "code": code, "detail": detail}


def _reach(principal: Principal) -> Reach:
    if any(grant.role == "sys_admin" and grant.org_id is None for grant in principal.roles):
        return Reach(None)
    return Reach(msgspec.convert(principal.zone_id, ZoneId))


def _answer(response: Response, outcome: Outcome[Subscription]) -> SubscriptionState:
    state = outcome.state
    assert not isinstance(state, NotSubscribed)
    written(response, outcome.stream_id, outcome.version)
    status: Literal["active", "cancelled", "expired"] = "expired"
    if isinstance(state, Active):
        status = "active"
    elif isinstance(state, Cancelled):
        status = "cancelled"
    return SubscriptionState(
        subscription_id=outcome.stream_id,
        user_id=state.terms.user_id,
        plan=state.terms.plan,
        status=status,
        paid_until=state.terms.paid_until,
        version=outcome.version,
    )
