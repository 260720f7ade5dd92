"""Signatures of webhooks as the Standard Webhooks specification 1.0 has them (standardwebhooks.com).

The sender signs `id.timestamp.body` with HMAC-SHA256 and sends three headers: `webhook-id`, which stays the
same when a message is sent again, `webhook-timestamp` in seconds since 1970, and `webhook-signature` with one
or more `v1,<base64>` separated by spaces.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

TOLERANCE_S: Final = 300
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with, none itself
_VERSION: Final = "v1"
_LONGEST_ID: Final = 255
_MOST_SIGNATURES: Final = 20
"""More than anybody's rotation needs: each costs a comparison with each secret."""


class UnusableSecret(ValueError):
    """The text is no secret of a webhook."""


class WrongSignature(Exception):
    """The message is not to be believed; the text says why, in words that help the sender and nobody else."""


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A message whose signature is right. `message_id` names it for good."""

    message_id: str
    body: bytes


def secret_of(text: str) -> bytes:
    """The key that a `whsec_` secret stands for. Raises `UnusableSecret`."""
    if not text.startswith(SECRET_PREFIX):
        raise UnusableSecret(f"it does not begin with {SECRET_PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise UnusableSecret("what follows the prefix is not base64") from None
    # The specification's own bounds.
    if not 24 <= len(key) <= 64:
        raise UnusableSecret(f"it holds {len(key)} bytes; it takes 24 to 64")
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature, as it stands in the header."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"{_VERSION},{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def verify(keys: Iterable[bytes], headers: Mapping[str, str], body: bytes, now: datetime) -> SignedMessage:
    """The message, if one of the keys has signed it within the tolerance. Raises `WrongSignature`.

    The body is taken as it came: what is parsed and written again is signed by nobody.
    """
    message_id = headers.get("webhook-id", "")
    # A point would move the border between the parts that are signed.
    if not 0 < len(message_id) <= _LONGEST_ID or not message_id.isascii() or "." in message_id:
        raise WrongSignature("the header webhook-id is missing or cannot be an id")
    timestamp = _seconds(headers.get("webhook-timestamp", ""))
    if abs(now.timestamp() - timestamp) > TOLERANCE_S:
        raise WrongSignature(f"the header webhook-timestamp is more than {TOLERANCE_S} s from now")
    given = headers.get("webhook-signature", "").split(" ")[:_MOST_SIGNATURES]
    expected = [sign(key, message_id, timestamp, body).encode() for key in keys]
    # All are compared, whichever fits: how long it takes tells nothing.
    fits = [hmac.compare_digest(one.encode(), other) for one in given for other in expected]
    if not any(fits):
        raise WrongSignature("no signature in the header webhook-signature is right")
    return SignedMessage(message_id, body)


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise WrongSignature("the header webhook-timestamp is missing or is no number of seconds")
    return int(text)
