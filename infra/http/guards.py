"""Who may call a route: named in the route's own signature, in one obvious place.

    async def me(principal: CurrentPrincipal) -> ...
    async def draft(principal: Annotated[Principal, Depends(require_role("teacher"))]) -> ...
    async def answer(attempt_id: ..., principal: AttemptPrincipal) -> ...
    @router.post("/auth/login", dependencies=[Depends(public)])

`unguarded_routes(app)` lists the routes that name none of these.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from infra.http.errors import AttemptTokenOnly, InvalidToken, RoleRequired, Unauthenticated
from infra.http.principal import Principal
from infra.http.services import HttpServices, Services

bearer = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="JWT",
    description="Access token from `POST /api/v1/auth/login`.",
    auto_error=False,
)


async def token_holder(
    services: Services,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> Principal:
    """Whoever the token names, attempt-scoped tokens included. Raises Unauthenticated."""
    if credentials is None:
        raise Unauthenticated
    principal = services.token_verifier.verify(credentials.credentials)
    structlog.contextvars.bind_contextvars(subject_id=principal.subject_id)
    return principal


TokenHolder = Annotated[Principal, Depends(token_holder)]


async def authenticated(principal: TokenHolder) -> Principal:
    """Anybody who is signed in. Raises AttemptTokenOnly for attempt-scoped tokens."""
    if principal.attempt_id is not None:
        raise AttemptTokenOnly
    return principal


CurrentPrincipal = Annotated[Principal, Depends(authenticated)]


@dataclass(frozen=True, slots=True)
class RequireRole:
    """Dependency: the asker holds one of `roles`, somewhere. Raises RoleRequired."""

    roles: tuple[str, ...]

    async def __call__(self, principal: CurrentPrincipal) -> Principal:
        if not principal.has_role(*self.roles):
            raise RoleRequired(roles=list(self.roles))
        return principal


def require_role(*roles: str) -> RequireRole:
    return RequireRole(roles)


async def attempt_access(request: Request, principal: TokenHolder) -> Principal:
    """Anybody who is signed in, or the token of exactly the attempt in the path (`attempt_id`).

    Whether the attempt is theirs is for the handler to decide. Raises AttemptTokenOnly.
    """
    if principal.attempt_id is not None and principal.attempt_id != request.path_params["attempt_id"]:
        raise AttemptTokenOnly
    return principal


AttemptPrincipal = Annotated[Principal, Depends(attempt_access)]


def attempt_principal_of(request: Request, services: HttpServices) -> Principal | None:
    """Whom `AttemptPrincipal` lets in, outside of a route's dependencies; None for everybody else."""
    try:
        principal = principal_of(request, services)
    except InvalidToken:
        return None
    if principal is None or principal.attempt_id not in {None, request.path_params["attempt_id"]}:
        return None
    structlog.contextvars.bind_contextvars(subject_id=principal.subject_id)
    return principal


async def public() -> None:
    """Marks a route that anybody may call without signing in."""


def principal_of(request: Request, services: HttpServices) -> Principal | None:
    """The asker outside of a route's dependencies, or None where no token was sent. Raises InvalidToken."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    return services.token_verifier.verify(token.strip())


def depends_on(dependant: Dependant, matches: Callable[[Any], bool]) -> bool:
    """Whether a route's tree of dependencies holds a callable that `matches`."""
    return any(
        (each.call is not None and matches(each.call)) or depends_on(each, matches)
        for each in dependant.dependencies
    )


def is_guard(call: Any) -> bool:
    return call in {authenticated, attempt_access, public} or isinstance(call, RequireRole)


def unguarded_routes(app: FastAPI) -> list[str]:
    """`METHOD path` of every documented route that names no guard; a test keeps this empty."""
    found = []
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        if isinstance(dependant, Dependant) and not depends_on(dependant, is_guard):
            found += [f"{method} {route.path_format}" for method in sorted(route.methods or ())]
    return found
