"""All routes of the write API."""

from fastapi import APIRouter

from commands.api import attempts, auth, examinees, exams, item_banks, users


def write_routers() -> list[APIRouter]:
    return [part.router for part in (auth, users, item_banks, exams, attempts, examinees)]
