"""What routes may ask for at run time.

The composition root puts an object of this shape into `app.state.services`; importing builds nothing.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Protocol, cast

from fastapi import Depends, Request

from domain.identifiers import StreamId
from domain.policies.access import Action, ResourceKind
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


class PolicyWall(Protocol):
    """See `infra.policies.wall.PolicyWall`."""

    def has_entered(self, principal: Principal) -> bool:
        """Whether they surely may enter their zone; False also where that has to be looked at first."""
        ...

    async def enter(self, request: Request, principal: Principal) -> None:
        """Raises `PolicyForbids` where they may not enter their zone now."""
        ...

    async def require(
        self, request: Request, principal: Principal, action: Action, kind: ResourceKind, resource_id: str
    ) -> bool:
        """False where they may not because there is no such thing, for all that they may know.

        Raises `PolicyForbids` where they may not otherwise.
        """
        ...

    async def require_of(  # noqa: PLR0913, PLR0917 - who asks, and the whole question
        self,
        request: Request,
        service: Principal,
        user_id: StreamId,
        action: Action,
        kind: ResourceKind,
        resource_id: str,
    ) -> None:
        """Raises `PolicyForbids` where this person of the service's organisations may not."""
        ...


class HttpServices(Protocol):
    """What `infra.http` itself needs; each API's own services extend it."""

    @property
    def clock(self) -> Clock: ...
    @property
    def new_id(self) -> NewId: ...
    @property
    def token_verifier(self) -> TokenVerifier: ...
    @property
    def policy_wall(self) -> PolicyWall: ...
    @property
    def idempotency(self) -> IdempotentRequests: ...


def services_of(request: Request) -> HttpServices:
    return cast(HttpServices, request.app.state.services)


async def injected_services(request: Request) -> Any:
    return request.app.state.services


Services = Annotated[HttpServices, Depends(injected_services)]
