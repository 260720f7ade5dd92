"""What routes may ask for at run time.

The composition root puts an object of this shape into `app.state.services`; importing builds nothing.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Protocol, cast

from fastapi import Depends, Request

from infra.http.idempotency import Claim, Replay
from infra.http.principal import Principal

Clock = Callable[[], datetime]
"""The time now: aware, in UTC."""

NewId = Callable[[], str]
"""A new UUIDv7 as text."""


class TokenVerifier(Protocol):
    def verify(self, token: str) -> Principal:
        """Raises InvalidToken."""
        ...


class IdempotentRequests(Protocol):
    """See `infra.http.idempotency_store.IdempotencyStore`."""

    def request_hash(self, *parts: bytes) -> bytes: ...

    async def begin(
        self, principal: str, route: str, key: str, request_hash: bytes, now: datetime
    ) -> Claim | Replay: ...

    async def complete(
        self, claim: Claim, status: int, headers: list[tuple[str, str]], body: bytes
    ) -> None: ...

    async def abandon(self, claim: Claim, now: datetime) -> None: ...


class HttpServices(Protocol):
    """What `infra.http` itself needs; each API's own services extend it."""

    @property
    def clock(self) -> Clock: ...
    @property
    def new_id(self) -> NewId: ...
    @property
    def token_verifier(self) -> TokenVerifier: ...
    @property
    def idempotency(self) -> IdempotentRequests: ...


def services_of(request: Request) -> HttpServices:
    return cast(HttpServices, request.app.state.services)


async def injected_services(request: Request) -> Any:
    return request.app.state.services


Services = Annotated[HttpServices, Depends(injected_services)]
