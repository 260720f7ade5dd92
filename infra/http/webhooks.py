"""The guard of routes that another system calls: it has no token, but signs what it sends."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Protocol, cast

import structlog
from fastapi import Depends, Header, Request
from fastapi.security import APIKeyHeader

from infra.http.errors import Unauthenticated
from infra.http.services import HttpServices, services_of
from infra.payments.signatures import SignedMessage, WrongSignature


class WebhookRefused(Unauthenticated):
    """The signature of a webhook is missing, wrong or too old (`reason`)."""

    code = "webhook-refused"
    title = "The signature of the webhook is not valid"

    def detail(self) -> str:
        return f"The webhook was refused: {self.reason}."


class Webhooks(Protocol):
    """See `infra.payments.webhooks.SignedWebhooks`."""

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> SignedMessage: ...


class WebhookServices(HttpServices, Protocol):
    @property
    def payment_webhooks(self) -> Webhooks: ...


class WebhookSignature(APIKeyHeader):
    """Whatever is signed with a secret of the payment provider's, before anything is parsed.

    Raises `WebhookRefused`.
    """

    def __init__(self) -> None:
        super().__init__(
            name="webhook-signature",
            scheme_name="webhook",
            description="Standard Webhooks 1.0: `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64; "
            "several are separated by spaces.",
            auto_error=False,
        )

    async def __call__(  # type: ignore[override] # what it lets in
        self,
        request: Request,
        webhook_id: Annotated[str, Header(description="Of the message, also when it is sent again.")] = "",
        webhook_timestamp: Annotated[str, Header(description="Seconds since 1970.")] = "",
    ) -> SignedMessage:
        services = cast(WebhookServices, services_of(request))
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": webhook_timestamp,
            "webhook-signature": request.headers.get("webhook-signature", ""),
        }
        try:
            message = services.payment_webhooks.verify(headers, await request.body(), services.clock())
        except WrongSignature as error:
            raise WebhookRefused(reason=str(error)) from None
        structlog.contextvars.bind_contextvars(webhook_id=message.message_id)
        return message


SignedWebhook = Annotated[SignedMessage, Depends(WebhookSignature())]
