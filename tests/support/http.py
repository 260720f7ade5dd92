"""A small application with everything of `infra.http` around it, called in process."""

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from infra.auth.signing_key import new_signing_key, public_jwk
from infra.auth.tokens import TokenIssuer, TokenVerifier
from infra.http.metrics import HttpMetrics
from infra.http.middleware import install_middleware
from infra.http.openapi import install_openapi
from infra.http.principal import Principal, RoleGrant
from infra.http.problems import install_problem_handlers

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
STUDENT = Principal(
    subject_id="user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f",
    zone_id="univprep",
    roles=(RoleGrant("student"),),
    session_id="session-1",
)


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now


def id_source():
    numbers = itertools.count(1)
    return lambda: f"01901646-a2b4-7c3d-8e5f-{next(numbers):012x}"


class NoPolicyWall:
    """Lets everybody through."""

    def has_entered(self, _principal):
        return True

    async def require(self, *_asked):
        return True


@dataclass
class FakeServices:
    """What routes ask for; tokens are real ones."""

    idempotency: Any = None
    clock: Any = field(default_factory=SetClock)
    new_id: Any = field(default_factory=id_source)
    policy_wall: Any = field(default_factory=NoPolicyWall)

    def __post_init__(self):
        key = new_signing_key()
        self.token_issuer = TokenIssuer(key, "megacity", "megacity", 900, self.clock, new_id=id_source())
        self.token_verifier = TokenVerifier([public_jwk(key)], "megacity", "megacity", self.clock)

    def bearer(self, principal=STUDENT):
        return {"Authorization": f"Bearer {self.token_issuer.issue(principal)[0]}"}


def make_app(*routers, services=None, body_limits=None, registry=None):
    app = FastAPI(redirect_slashes=False)
    for router in routers:
        app.include_router(router, prefix="/api/v1")
    app.state.services = services or FakeServices()
    install_problem_handlers(app)
    install_middleware(app, metrics=HttpMetrics(registry or CollectorRegistry()), body_limits=body_limits)
    install_openapi(app)
    return app


def client_of(app):
    """A client whose calls raise nothing of what the application raises: it sees answers only."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://megacity.test")


def call(app, method, path, **request):
    """One request, in an event loop of its own."""

    async def send():
        async with client_of(app) as client:
            return await client.request(method, path, **request)

    return asyncio.run(send())
