"""One's own subscription."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from domain.subscriptions.subscription import SubscriptionNotFound
from infra.http.etags import ETAG_HEADER, etag
from infra.http.guards import CurrentPrincipal
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from projections.subscriptions.queries import status_at, subscription_of
from read_api.services import Read, Services

router = APIRouter(prefix="/api/v1/users", tags=["subscriptions"], route_class=ApiRoute)


class MySubscription(BaseModel):
    subscription_id: str
    plan: str = Field(examples=["premium"])
    status: Literal["active", "cancelled", "expired"] = Field(
        description="What is cancelled is open until `paid_until`."
    )
    started_at: datetime
    paid_until: datetime
    version: int


@router.get(
    "/me/subscription",
    operation_id="getMySubscription",
    summary="One's own subscription",
    description="404 for whoever never had one.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def my_subscription(
    principal: CurrentPrincipal, read: Read, services: Services, response: Response
) -> MySubscription:
    async with read.of(principal, "subscriptions") as connection:
        # Row-level security shows an administrator everybody's: this route is about oneself.
        found = await subscription_of(connection, principal.subject_id)
    if found is None:
        raise SubscriptionNotFound
    response.headers[ETAG_HEADER] = etag(found["version"])
    return MySubscription.model_validate({**found, "status": status_at(found, services.clock())})
