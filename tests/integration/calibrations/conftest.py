"""A school whose adaptive exam was taken by a few hundred simulated examinees, in a running API."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from domain.cat.items import LogisticItems
from tests.support.adaptive_api import pool_item
from tests.support.api import Api, ExamMade, School, running_api
from tests.support.calibrating import examined
from tests.support.postgres import fresh_database, run_folder

OPERATIONAL, PRETEST, EXAMINEES = 16, 3, 260
DRIFTS = 9
"""The item that everybody is given first."""

RULES: dict[str, Any] = {
    "max_items": 12,
    "stop_se": None,
    "pretest": {"items": 3, "first_position": 2, "last_position": 8},
}


@dataclass
class Tested:
    """`truth` are the parameters by which everybody answered: the item `DRIFTS` is harder than was said."""

    api: Api
    school: School
    exam: ExamMade
    truth: LogisticItems

    @property
    def bank(self) -> str:
        return f"/item-banks/{self.exam.bank_id}"

    @property
    def pretest_ids(self) -> list[str]:
        return self.exam.item_ids[OPERATIONAL:]

    def publish(self, pretest: int) -> ExamMade:
        """An exam with all items, so many of them for pretest in each test."""
        rules = {**RULES, "pretest": {**RULES["pretest"], "items": pretest}}
        exam_id = self.school.draft(self.exam.item_ids, adaptive=rules)
        answer = self.school.teacher.http.post(f"/exams/{exam_id}/publish")
        assert answer.status_code == 200, answer.text
        return ExamMade(exam_id=exam_id, bank_id=self.exam.bank_id, item_ids=self.exam.item_ids)

    def pool_of(self, exam_id: str) -> Any:
        return self.api.events(exam_id)[-1].blueprint.pool


def a_bank(school: School) -> tuple[str, list[str], LogisticItems]:
    rng = np.random.default_rng(5)
    truth = LogisticItems.of(
        rng.uniform(1.0, 2.0, OPERATIONAL + PRETEST), np.linspace(-1.5, 1.5, OPERATIONAL + PRETEST), 0.0
    )
    bank_id = school.bank()
    items = []
    for number, (a, b) in enumerate(zip(truth.a, truth.b, strict=True)):
        content = pool_item(number, irt=False)
        if number < OPERATIONAL:
            content["irt"] = {"a": float(a), "b": float(b)}
        items.append({"code": f"item-{number}", **content})
    answer = school.teacher.http.post(f"/item-banks/{bank_id}/import", json={"items": items})
    assert answer.status_code == 200, answer.text
    return bank_id, [row["item_id"] for row in answer.json()["rows"]], truth


@pytest.fixture(scope="module")
def tested(postgres_server):
    with (
        run_folder("calibrations") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as api,
    ):
        school = api.school()
        bank_id, item_ids, truth = a_bank(school)
        found = Tested(api, school, ExamMade("", bank_id, item_ids), truth)
        found.exam = found.publish(PRETEST)
        harder = truth.b.copy()
        harder[DRIFTS] += 1.0
        found.truth = LogisticItems.of(truth.a, harder, 0.0)
        thetas = np.random.default_rng(6).normal(0.0, 1.0, EXAMINEES)
        examined(api, school, found.exam, found.truth, thetas.tolist())
        yield found
