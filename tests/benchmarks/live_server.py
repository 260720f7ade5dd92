"""One role in a process of its own, with examinees who sit an adaptive test where it answers commands.

    python -m tests.benchmarks.live_server CONNINFO FOLDER ROLE EXAMINEES [BROKERS]

Prints one line of JSON (`base_url`, and where commands are answered `sittings`), then serves until its
standard input ends. With BROKERS the engine is fed by Kafka.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from infra.observability.logging import configure_logging
from tests.support.adaptive_api import pool_item
from tests.support.api import running_api

POOL = 500
LONGEST = 200


def main(conninfo: str, folder: Path, role: Any, examinees: int, brokers: str | None) -> None:
    configure_logging("warning", "json")
    settings: dict[str, Any] = {}
    if brokers is not None:
        settings = {"kafka": {"bootstrap_servers": brokers}, "cat": {"feed": "kafka"}}
    with running_api(conninfo, folder, role=role, **settings) as api:
        told: dict[str, Any] = {"base_url": api.base_url}
        if role in {"all", "api", "write-api"}:
            told["sittings"] = _sittings(api, examinees)
        print(json.dumps(told), flush=True)
        sys.stdin.read()


def _sittings(api: Any, examinees: int) -> list[dict[str, str]]:
    school = api.school()
    rng = np.random.default_rng(1)
    items = []
    for number in range(POOL):
        content = pool_item(number, irt=False)
        a, b, c = rng.lognormal(0.0, 0.3), rng.normal(), rng.uniform(0.1, 0.25)
        content["irt"] = {"a": round(a, 6), "b": round(b, 6), "c": round(c, 6), "d": 1.0}
        items.append({"code": f"item-{number}", **content})
    bank_id = school.bank()
    item_ids = []
    for begin in range(0, POOL, 100):
        answer = school.teacher.http.post(
            f"/item-banks/{bank_id}/import", json={"items": items[begin : begin + 100]}
        )
        assert answer.status_code == 200, answer.text
        item_ids += [row["item_id"] for row in answer.json()["rows"]]
    # Nobody comes to an end while it is measured.
    exam_id = school.draft(item_ids, adaptive={"max_items": LONGEST, "stop_se": None})
    published = school.teacher.http.post(f"/exams/{exam_id}/publish")
    assert published.status_code == 200, published.text
    sittings = []
    for student in school.students(examinees):
        answer = student.http.post(f"/exams/{exam_id}/attempts")
        assert answer.status_code == 201, answer.text
        started = answer.json()
        sittings.append(
            {
                "attempt_id": started["attempt_id"],
                "token": started["attempt_token"],
                "item_id": started["next"]["item"]["item_id"],
            }
        )
    return sittings


if __name__ == "__main__":
    main(
        sys.argv[1],
        Path(sys.argv[2]),
        sys.argv[3],
        int(sys.argv[4]),
        sys.argv[5] if len(sys.argv) > 5 else None,
    )
