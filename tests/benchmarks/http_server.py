"""The write API in a process of its own, with an exam to answer and routes that do nothing.

    python -m tests.benchmarks.http_server CONNINFO FOLDER EXAMINEES

Prints one line of JSON (`base_url`, `pid`, `items`, and for each examinee token and attempt), then serves
until its standard input ends.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI

from infra.http.guards import CurrentPrincipal, public, require_role
from infra.http.principal import Principal
from infra.http.rate_limits import RateLimiting
from infra.http.routing import ApiRoute
from infra.observability.logging import configure_logging
from tests.support.api import choice_item, running_api

ITEMS = 40
NOOP = "/api/v1/bench/noop"
WALLED = "/api/v1/bench/walled"
OPEN = "/api/v1/bench/open"

router = APIRouter(route_class=ApiRoute)


@router.get(NOOP)
async def noop(principal: CurrentPrincipal) -> dict[str, str]:
    """Signs in like any other route, and answers."""
    return {"subject": principal.subject_id}


@router.get(WALLED)
async def walled(principal: Annotated[Principal, Depends(require_role("student"))]) -> dict[str, str]:
    """Behind all walls: token, revocations, limit, policy, role."""
    return {"subject": principal.subject_id}


@router.get(OPEN, dependencies=[Depends(public)])
async def unwalled() -> dict[str, str]:
    """For anybody, and not counted."""
    return {"subject": "anybody"}


def main(conninfo: str, folder: Path, examinees: int) -> None:
    configure_logging("warning", "json")
    # The limits are on, so that they are measured too; each connection of the load is one very fast user.
    limits = {"user_per_s": 1_000_000, "user_burst": 1_000_000}
    with running_api(conninfo, folder, role="write-api", limits=limits) as api:
        api.app.include_router(router)
        _count_nothing(api.app, OPEN)
        school = api.school()
        exam = school.exam([choice_item()] * ITEMS)
        sittings = []
        for student in school.students(examinees):
            started = student.http.post(f"/exams/{exam.exam_id}/attempts").json()
            sittings.append({"token": student.token, "attempt_id": started["attempt_id"]})
        told: dict[str, Any] = {"base_url": api.base_url, "items": exam.item_ids, "sittings": sittings}
        told["pid"] = os.getpid()
        print(json.dumps(told), flush=True)
        sys.stdin.read()


def _count_nothing(app: FastAPI, path: str) -> None:
    """Takes a path out of the rate limits, as the paths that machines ask are."""
    around: Any = app.middleware_stack
    while not isinstance(around, RateLimiting):
        around = around.app if hasattr(around, "app") else around._app
    around._free_paths |= {path}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
