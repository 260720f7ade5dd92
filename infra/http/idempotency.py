"""Requests that may be sent twice and take effect once.

A route that depends on `CommandId` honours the `Idempotency-Key` header: the first answer is kept
for 24 hours and given again to the same principal, route and key. The command id is allotted with
the key and outlives a crash of this process, so the handler recognises its own earlier append.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, Header, Request

IDEMPOTENCY_KEY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"
KEY_PATTERN: Final = "^[!-~]{1,255}$"


@dataclass(frozen=True, slots=True)
class Claim:
    """This request is the one to be carried out, under `command_id`, until `lease_until`."""

    principal: str
    route: str
    key: str
    command_id: str
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class Replay:
    """The request was carried out before; this was the answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


async def command_id(
    request: Request,
    idempotency_key: Annotated[  # noqa: ARG001 - declares the header; `ApiRoute` has read it by now
        str | None,
        Header(
            alias=IDEMPOTENCY_KEY_HEADER,
            min_length=1,
            max_length=255,
            pattern=KEY_PATTERN,
            description="A name of your choice for this request (a UUID, say). Sent again with the same "
            "contents within 24 hours it gets the first answer and has no second effect.",
        ),
    ] = None,
) -> str:
    """Id of the command that this request is: allotted to its key, or new."""
    return command_id_of(request)


def command_id_of(request: Request) -> str:
    """As `command_id`, outside of a route's dependencies."""
    allotted: str | None = getattr(request.state, "command_id", None)
    if allotted is not None:
        return allotted
    # No key, so nobody will ask for this command again.
    new_id: str = request.app.state.services.new_id()
    return new_id


CommandId = Annotated[str, Depends(command_id)]
