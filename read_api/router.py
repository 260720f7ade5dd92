"""All routes of the read API."""

from fastapi import APIRouter

from read_api import (
    adaptive_report,
    analytics,
    attempts,
    audit,
    calibrations,
    exams,
    item_banks,
    results,
    users,
)


def build_read_router() -> APIRouter:
    """Routes that only read. What they need is in `request.app.state.services`: see `read_api.services`."""
    router = APIRouter()
    for part in (
        users,
        item_banks,
        calibrations,
        exams,
        results,
        attempts,
        analytics,
        adaptive_report,
        audit,
    ):
        router.include_router(part.router)
    return router
