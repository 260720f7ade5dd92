"""The HTTP application of a role, and the document that describes both sides of the API."""

from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from commands.api.router import write_routers
from infra.http.body_limit import BodyLimits
from infra.http.metrics import HttpMetrics
from infra.http.middleware import install_middleware
from infra.http.openapi import install_openapi
from infra.http.problems import install_problem_handlers
from infra.observability.traced_requests import TracedRequests
from infra.observability.tracing import Tracing
from infra.operations import API_DESCRIPTION, API_VERSION, operations_router
from infra.server import READING, WRITING, Role
from infra.settings import Settings
from read_api.router import build_read_router


def build_app(
    settings: Settings, registry: CollectorRegistry, lifespan: Any, role: Role, tracing: Tracing | None = None
) -> FastAPI:
    """The HTTP application of a role. Its document describes both sides, wherever they run."""
    app = _bare_app(lifespan)
    _include(app, role)
    # Made when first asked for: it takes half a second that the start can do without.
    app.openapi = whole_document  # type: ignore[method-assign] # FastAPI's documented way
    install_problem_handlers(app)
    limits = BodyLimits(
        settings.http.max_body_bytes,
        dict.fromkeys(
            ("/api/v1/item-banks/*/import", "/api/v1/organizations/*/roster-imports"),
            settings.http.max_import_body_bytes,
        ),
    )
    install_middleware(app, metrics=HttpMetrics(registry), body_limits=limits)
    if tracing is not None:
        app.add_middleware(TracedRequests, tracing=tracing)
    return app


@cache
def whole_document() -> dict[str, Any]:
    """The OpenAPI document of both sides together."""
    app = _bare_app(None)
    _include(app, "all")
    install_openapi(app)
    return app.openapi()


def _include(app: FastAPI, role: Role) -> None:
    routers: list[APIRouter] = [operations_router()]
    if role in WRITING:
        routers += write_routers()
    if role in READING:
        routers.append(build_read_router())
    for router in routers:
        app.include_router(router)


def _bare_app(lifespan: Any) -> FastAPI:
    return FastAPI(
        title="DreamSeedAI MegaCity",
        version=API_VERSION,
        summary="Exams on an event log.",
        description=API_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        separate_input_output_schemas=False,
        redirect_slashes=False,
        lifespan=lifespan,
        redoc_url=None,
    )
