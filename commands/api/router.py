"""All routes of the write API."""

from fastapi import APIRouter

from commands.api import attempts, auth, calibrations, examinees, exams, item_banks, next_items, users


def write_routers() -> list[APIRouter]:
    return [
        part.router
        for part in (auth, users, item_banks, calibrations, exams, attempts, next_items, examinees)
    ]
