"""What operators and their machines ask: is it alive, is it ready, how is it doing."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field

from infra.http.guards import public

API_VERSION: Final = "0.1.0"
API_DESCRIPTION: Final = """\
Sign in with `POST /api/v1/auth/login` and send the access token as `Authorization: Bearer …`.

Every write answers with a `Consistency-Token` header; send it with a read and the read includes that
write. Requests that create or change something take an `Idempotency-Key`, those of signing in do not.
Refusals are problem documents (RFC 9457) whose `type` is stable; all types are listed in
docs/problems.md.
"""


class Live(BaseModel):
    status: Literal["live"] = "live"


class ProjectionHealth(BaseModel):
    name: str
    position: int
    lag: int = Field(description="Events that it has not applied yet.")
    lag_s: float = Field(description="For how long the oldest of those has been there.")
    halted: bool = Field(description="It cannot go on, and tries again until it can.")
    paused: bool = Field(description="By an operator, until resumed.")
    failed_position: int | None = Field(
        description="Of the event that halts it; null where none is to blame."
    )
    set_aside: int = Field(description="Events that wait because one of their stream cannot be applied.")


class Readiness(BaseModel):
    status: Literal["ready", "not_ready"]
    reasons: list[str]
    database: bool
    pending_migrations: list[str]
    head: int = Field(description="The last position in the log.")
    unsequenced: int = Field(description="Events that came after it and have no position yet.")
    projections: list[ProjectionHealth]


class Operations:
    """How this process is doing. `probe` looks, and brings the gauges in `registry` up to date."""

    def __init__(self, registry: CollectorRegistry, probe: Callable[[], Awaitable[Readiness]]) -> None:
        self.registry = registry
        self.probe = probe


def operations_router() -> APIRouter:
    router = APIRouter(tags=["operations"], dependencies=[Depends(public)])

    @router.get("/healthz", operation_id="live", summary="The process lives")
    async def live() -> Live:
        return Live()

    @router.get(
        "/readyz",
        operation_id="ready",
        summary="It can do its work: database, migrations, sequencer, projections",
        responses={503: {"model": Readiness, "description": "Not ready; the reasons say why."}},
    )
    async def ready(request: Request, response: Response) -> Readiness:
        operations: Operations = request.app.state.operations
        readiness = await operations.probe()
        if readiness.status != "ready":
            response.status_code = 503
        return readiness

    @router.get(
        "/metrics",
        operation_id="metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics(request: Request) -> Any:
        operations: Operations = request.app.state.operations
        await operations.probe()
        return Response(generate_latest(operations.registry), media_type=CONTENT_TYPE_LATEST)

    return router
