"""All routes of the read API."""

from fastapi import APIRouter

from read_api import (
    adaptive_report,
    analytics,
    attempts,
    audit,
    calibrations,
    classes,
    exams,
    item_banks,
    organizations,
    policies,
    results,
    roles,
    subscriptions,
    users,
)


def build_read_router() -> APIRouter:
    """Routes that only read. What they need is in `request.app.state.services`: see `read_api.services`."""
    router = APIRouter()
    for part in (
        users,
        roles,
        organizations,
        classes,
        subscriptions,
        item_banks,
        calibrations,
        exams,
        results,
        attempts,
        analytics,
        adaptive_report,
        audit,
        policies,
    ):
        router.include_router(part.router)
    router.include_router(organizations.own_router)
    return router
