"""The running API against its own document: all checks of schemathesis, as one of those who may ask.

Each asker has a file of their own (`tests/contract/test_as_*.py`), so that they are tried side by side.

To look into a failure: the output holds a `curl` line and the request id; the seed is fixed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.adaptive_api import Sitting, adaptive_exam

HOW = Path(__file__).resolve().parents[1] / "contract"
LIMIT_S = 540
ALL_PHASES = "examples,coverage,fuzzing,stateful"


def next_cursor(person, path):
    answer = person.http.get(path, params={"limit": 1})
    assert answer.status_code == 200, answer.text
    return answer.json()["next_cursor"]


def facts(school, person):
    """What exists for this person: see hooks.py."""
    exam, closing = school.exam(), school.exam()
    drafts = [school.draft(exam.item_ids) for _ in range(2)]
    students = [*school.students(2), person] if person.user_id.startswith("user-") else school.students(2)
    attempts = [student.http.post(f"/exams/{exam.exam_id}/attempts") for student in students]
    given = attempts[-1].json()["attempt_id"]
    handed_in = person.http.post(f"/exams/{closing.exam_id}/attempts", json={})
    for student in students:
        student.http.post(f"/exams/{exam.exam_id}/submit")
    adaptive = Sitting.start(students[-1], adaptive_exam(school))
    students[-1].http.post(f"{adaptive.url}/submit")
    bank_cursor = next_cursor(school.teacher, "/item-banks")
    return {
        "ids": {
            "*": {
                "exam_id": exam.exam_id,
                "bank_id": exam.bank_id,
                "item_id": exam.item_ids[0],
                "attempt_id": given,
            },
            **organization_facts(school, students[0]),
            "redraftExam": {"exam_id": drafts[0]},
            "publishExam": {"exam_id": drafts[1]},
            "closeExam": {"exam_id": closing.exam_id},
            # Finished: an event stream of an attempt that runs would stay open.
            "getNextItem": {"attempt_id": adaptive.attempt_id},
            "followAttempt": {"attempt_id": adaptive.attempt_id},
            "giveResponse": {
                "attempt_id": handed_in.json().get("attempt_id", given),
                "item_id": closing.item_ids[0],
            },
        },
        "cursors": {
            "listItemBanks": bank_cursor,
            "listAuditEntries": next_cursor(school.admin(), "/audit-entries"),
            "listItems": next_cursor(school.teacher, f"/item-banks/{exam.bank_id}/items"),
            "listExams": next_cursor(school.teacher, "/exams"),
            "listAttempts": next_cursor(school.teacher, f"/exams/{exam.exam_id}/attempts"),
            "getExamResults": next_cursor(school.teacher, f"/exams/{exam.exam_id}/results"),
        },
        "consistency_token": attempts[0].headers["Consistency-Token"],
        "tokens_to_spend": [school.api.same_person(person) for _ in range(50)],
    }


def organization_facts(school, student):
    """An organisation with a class of one, for whoever asks about it."""
    admin, url = school.admin(), f"/organizations/{school.org_id}"
    opened = [admin.http.post(f"{url}/classes", json={"name": "Class"}).json()["class_id"] for _ in range(2)]
    admin.http.post(f"{url}/classes/{opened[0]}/students", json={"user_ids": [student.user_id]})
    there = {"org_id": school.org_id}
    of_all = ("getOrganization", "renameOrganization", "listMembers", "addMember", "removeMember")
    of_classes = ("getClass", "listClassPeople", "renameClass", "enrollStudents", "assignTeachers")
    return {
        **dict.fromkeys((*of_all, "inviteMember", "listInvitations", "openClass", "listClasses"), there),
        **{name: {**there, "class_id": opened[0]} for name in of_classes},
        "closeClass": {**there, "class_id": opened[1]},
        "withdrawStudent": {**there, "class_id": opened[0], "user_id": student.user_id},
        "withdrawTeacher": {**there, "class_id": opened[0], "user_id": student.user_id},
    }


def run_schemathesis(api, folder, known, token, *, max_examples, phases):
    facts_file = folder / "facts.json"
    facts_file.write_text(json.dumps(known), encoding="utf-8")
    words = ["run", f"{api.base_url}/openapi.json", "--max-examples", str(max_examples), "--phases", phases]
    if token is not None:
        words += ["--header", f"Authorization: Bearer {token}"]
    environment = {
        **os.environ,
        "CONTRACT_FACTS": str(facts_file),
        "SCHEMATHESIS_HOOKS": str(HOW / "hooks.py"),
        "NO_PROXY": "*",
        "COLUMNS": "140",
    }
    done = subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis",
            "--config-file",
            HOW / "schemathesis.toml",
            *words,
        ],
        cwd=folder,  # whatever it leaves behind goes with the folder
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"the API breaks its contract:\n{done.stdout[-20_000:]}"
