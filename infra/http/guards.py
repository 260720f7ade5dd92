"""Who may call a route: named in the route's own signature, in one obvious place.

    async def me(principal: CurrentPrincipal) -> ...
    async def draft(principal: Annotated[Principal, Depends(require_role("teacher"))]) -> ...
    async def answer(attempt_id: ..., principal: AttemptPrincipal) -> ...
    @router.post("/{zone_id}/attestations", dependencies=[Depends(require_zone_access())])
    @router.post("/auth/login", dependencies=[Depends(public)])

`unguarded_routes(app)` lists the routes that name none of these; `infra.http.access_document` tells clients
about them.
"""

from collections.abc import Callable
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security import HTTPBearer

from infra.http.errors import AttemptTokenOnly, InvalidToken, RoleRequired, Unauthenticated, ZoneNotYours
from infra.http.principal import Principal
from infra.http.services import HttpServices, services_of
from infra.http.verified_once import verified_once
from infra.http.webhooks import WebhookSignature

log = structlog.get_logger("http")


class Guard(HTTPBearer):
    """A dependency that lets a bearer of a token in, or refuses.

    It is a security scheme itself, so that the document names it, and asks for nothing that FastAPI would
    have to solve first: each dependency of a dependency costs a tenth of an empty request.
    """

    def __init__(self) -> None:
        super().__init__(
            scheme_name="bearer",
            bearerFormat="JWT",
            description="Access token from `POST /api/v1/auth/login`.",
            auto_error=False,
        )

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override] # whom it lets in
        raise NotImplementedError


async def token_holder(request: Request) -> Principal:
    """Whoever the token names, attempt-scoped tokens included, and who may enter their zone.

    Raises Unauthenticated and PolicyForbids.
    """
    services = services_of(request)
    principal = principal_of(request, services)
    if principal is None:
        raise Unauthenticated
    structlog.contextvars.bind_contextvars(subject_id=principal.subject_id)
    if not services.policy_wall.has_entered(principal):
        await services.policy_wall.enter(request, principal)
    return principal


class SignedIn(Guard):
    """Anybody who is signed in. Raises AttemptTokenOnly for attempt-scoped tokens."""

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override] # whom it lets in
        principal = await token_holder(request)
        if principal.attempt_id is not None:
            raise AttemptTokenOnly
        return principal


authenticated = SignedIn()
CurrentPrincipal = Annotated[Principal, Depends(authenticated)]


class RequireRole(Guard):
    """The asker holds one of `roles`, somewhere. Raises RoleRequired."""

    def __init__(self, roles: tuple[str, ...]) -> None:
        super().__init__()
        self.roles = roles

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RequireRole) and other.roles == self.roles

    def __hash__(self) -> int:
        return hash(self.roles)

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override] # whom it lets in
        principal = await authenticated(request)
        if not principal.has_role(*self.roles):
            raise RoleRequired(roles=list(self.roles))
        return principal


def require_role(*roles: str) -> RequireRole:
    return RequireRole(roles)


class RequireZone(Guard):
    """The zone that the path or the JSON body names is the asker's own, or none is named.

    A sys_admin may enter any zone; each time it is another one's, that is logged. Raises ZoneNotYours.
    """

    def __init__(self, field: str) -> None:
        super().__init__()
        self.field = field

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override] # whom it lets in
        principal = await authenticated(request)
        zone_id = request.path_params.get(self.field) or await self._in_body(request)
        if zone_id is None or zone_id == principal.zone_id:
            return principal
        if not principal.has_role("sys_admin"):
            raise ZoneNotYours
        log.info(
            "admin right used", right="enter_zone", zone_id=str(zone_id)[:64], own_zone_id=principal.zone_id
        )
        return principal

    async def _in_body(self, request: Request) -> object:
        # Read once: what has been parsed stays with the request.
        body = await request.json() if await request.body() else None
        return body.get(self.field) if isinstance(body, dict) else None


def require_zone_access(field: str = "zone_id") -> RequireZone:
    return RequireZone(field)


class AttemptAccess(Guard):
    """Anybody who is signed in, or the token of exactly the attempt in the path (`attempt_id`).

    Whether the attempt is theirs is for the handler to decide. Raises AttemptTokenOnly.
    """

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override] # whom it lets in
        principal = await token_holder(request)
        if principal.attempt_id is not None and principal.attempt_id != request.path_params["attempt_id"]:
            raise AttemptTokenOnly
        return principal


attempt_access = AttemptAccess()
AttemptPrincipal = Annotated[Principal, Depends(attempt_access)]


def attempt_principal_of(request: Request, services: HttpServices) -> Principal | None:
    """Whom `AttemptPrincipal` lets in, outside of a route's dependencies; None for everybody else."""
    try:
        principal = principal_of(request, services)
    except InvalidToken:
        return None
    if principal is None or principal.attempt_id not in {None, request.path_params["attempt_id"]}:
        return None
    if not services.policy_wall.has_entered(principal):
        return None
    structlog.contextvars.bind_contextvars(subject_id=principal.subject_id)
    return principal


async def public() -> None:
    """Marks a route that anybody may call without signing in."""


def principal_of(request: Request, services: HttpServices, *, again: bool = False) -> Principal | None:
    """The asker outside of a route's dependencies, or None where no token was sent. Raises InvalidToken.

    `again` verifies anew: for an answer that goes on for longer than a moment.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    if again:
        return services.token_verifier.verify(token.strip())
    return verified_once(request.scope, services, token.strip())


def depends_on(dependant: Dependant, matches: Callable[[Any], bool]) -> bool:
    """Whether a route's tree of dependencies holds a callable that `matches`."""
    return any(
        (each.call is not None and matches(each.call)) or depends_on(each, matches)
        for each in dependant.dependencies
    )


def is_guard(call: Any) -> bool:
    return call is public or isinstance(call, Guard | WebhookSignature)


def unguarded_routes(app: FastAPI) -> list[str]:
    """`METHOD path` of every documented route that names no guard; a test keeps this empty."""
    found = []
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        if isinstance(dependant, Dependant) and not depends_on(dependant, is_guard):
            found += [f"{method} {route.path_format}" for method in sorted(route.methods or ())]
    return found
