"""The write API in a process of its own, with an exam to answer and one more route that does nothing.

    python -m tests.benchmarks.http_server CONNINFO FOLDER EXAMINEES

Prints one line of JSON (`base_url`, `token`, and for each examinee token, attempt and items), then serves
until its standard input ends.
"""

import json
import sys
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from infra.http.guards import CurrentPrincipal
from infra.http.routing import ApiRoute
from infra.observability.logging import configure_logging
from tests.support.api import choice_item, running_api

ITEMS = 40
NOOP = "/api/v1/bench/noop"

router = APIRouter(route_class=ApiRoute)


@router.get(NOOP)
async def noop(principal: CurrentPrincipal) -> dict[str, str]:
    """Signs in like any other route, and answers."""
    return {"subject": principal.subject_id}


def main(conninfo: str, folder: Path, examinees: int) -> None:
    configure_logging("warning", "json")
    # The limits are on, so that they are measured too; each connection of the load is one very fast user.
    limits = {"user_per_s": 1_000_000, "user_burst": 1_000_000}
    with running_api(conninfo, folder, role="write-api", limits=limits) as api:
        api.app.include_router(router)
        school = api.school()
        exam = school.exam([choice_item()] * ITEMS)
        sittings = []
        for student in school.students(examinees):
            started = student.http.post(f"/exams/{exam.exam_id}/attempts").json()
            sittings.append({"token": student.token, "attempt_id": started["attempt_id"]})
        told: dict[str, Any] = {"base_url": api.base_url, "items": exam.item_ids, "sittings": sittings}
        print(json.dumps(told), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
