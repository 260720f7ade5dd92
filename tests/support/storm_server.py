"""A server in a process of its own, with examinees in an exam, who go on while others storm the sign-in.

    python -m tests.support.storm_server CONNINFO FOLDER EXAMINEES

Prints one line of JSON (`host`, `port`, `examinees`), then serves until its standard input ends. Addresses
are those of `X-Forwarded-For`.
"""

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

from infra.observability.logging import configure_logging
from tests.support.api import running_api


def main(conninfo: str, folder: Path, examinees: int) -> None:
    configure_logging("warning", "json")
    limits = {"trusted_proxies": ("127.0.0.0/8",)}
    with running_api(conninfo, folder, limits=limits) as api:
        school = api.school()
        exam = school.exam()
        sitting = []
        for student in school.students(examinees):
            started = student.http.post(f"/exams/{exam.exam_id}/attempts").json()
            path = f"/api/v1/attempts/{started['attempt_id']}/responses/{exam.item_ids[0]}"
            sitting.append({"path": path, "token": started["attempt_token"]})
        place = urlsplit(api.base_url)
        print(json.dumps({"host": place.hostname, "port": place.port, "examinees": sitting}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
