"""All routes of the write API."""

from fastapi import APIRouter

from commands.api import (
    attempts,
    auth,
    calibrations,
    examinees,
    exams,
    item_banks,
    next_items,
    passwords,
    policies,
    sessions,
    users,
    zones,
)


def write_routers() -> list[APIRouter]:
    parts = [
        part.router
        for part in (
            auth,
            sessions,
            passwords,
            users,
            zones,
            policies,
            item_banks,
            calibrations,
            exams,
            attempts,
            next_items,
            examinees,
        )
    ]
    return [*parts, sessions.well_known]
