"""News of payments, as tests need them."""

import json
from datetime import UTC, datetime, timedelta

from domain.subscriptions.subscription import Cancellation, Payment
from infra.payments.signatures import secret_of, sign
from tests.support.exam_parts import STUDENT

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The one of the specification's examples."""

DAY_0 = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def day(number: float) -> datetime:
    return DAY_0 + timedelta(days=number)


def payment(
    at: float, until: float, *, plan: str = "premium", event_id: str | None = None, **given
) -> Payment:
    return Payment(
        user_id=STUDENT,
        plan=plan,
        paid_until=day(until),
        occurred_at=day(at),
        source="webhook" if event_id else "administrator",
        payment_event_id=event_id,
        **given,
    )


def cancellation(at: float, event_id: str | None = None) -> Cancellation:
    return Cancellation(
        occurred_at=day(at), source="webhook" if event_id else "administrator", payment_event_id=event_id
    )


def signed_headers(message_id: str, body: bytes, now: datetime, *secrets: str) -> dict[str, str]:
    timestamp = int(now.timestamp())
    signatures = [sign(secret_of(each), message_id, timestamp, body) for each in secrets or (SECRET,)]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
        "content-type": "application/json",
    }


def event_body(kind: str, user_id: str, at: datetime, **data: object) -> bytes:
    document = {"type": kind, "timestamp": at.isoformat(), "data": {"user_id": user_id, **data}}
    return json.dumps(document).encode()
