"""All routes of the write API."""

from fastapi import APIRouter

from commands.api import attempts, auth, examinees, exams, item_banks, users


def build_write_router() -> APIRouter:
    router = APIRouter()
    for part in (auth, users, item_banks, exams, attempts, examinees):
        router.include_router(part.router)
    return router
