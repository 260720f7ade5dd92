"""Simulated examinees take the adaptive sample exam over HTTP, item by item, as a program of a school would.

What an examinee answers to an item is decided before the test: it follows from both their names. So a play
that was stopped goes on to the very same test, and a second one changes nothing.
"""

import asyncio
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, Final, Literal

import msgspec
from rich.console import Console

from infra.sample.adaptive_bank import SEED, BankItem, adaptive_bank
from infra.sample.api_client import ApiClient, ApiRefused, PlayStopped, SignIn, as_service, open_api
from infra.sample.authoring import ExamPlan, PublishedExam, author_exam
from infra.sample.enrolment import enrol
from infra.sample.player import PATIENCE_S, TOKENS_RENEWED
from infra.sample.progress import PlayProgress, Troubles
from infra.sample.state_file import StateFile, open_state

NAME: Final = "adaptive-sample"
EXAMINEES: Final = 40
CONCURRENCY: Final = 8
WAIT_S: Final = 20
"""For the next item, where the engine has not chosen it when the answer is saved."""

RULES: Final[dict[str, Any]] = {
    "exposure": {"kind": "randomesque", "among": 4},
    "shares": [{"area": area, "share": 1} for area in ("arithmetic", "algebra", "sequences")],
    "stop_se": 0.3,
    "min_items": 8,
    "max_items": 40,
    "pretest": {"items": 1, "first_position": 3, "last_position": 8},
}


class AbilityFound(msgspec.Struct, frozen=True):
    """As the results show it, less what nobody here uses."""

    theta: float
    se: float
    items_counted: int


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    attempt_id: str
    true_theta: float
    found: AbilityFound


class AdaptivePlayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a play did, and what was found of everybody.

    Attributes:
        answers: sent by this play; `skipped`: examinees who had finished before.
        stop_reasons, overlap, highest_exposure: from the exam's own report.
    """

    exam_id: str
    pool_size: int
    pretest_items: int
    skipped: int
    answers: int
    duration_s: float
    examinees: list[Examined]
    stop_reasons: dict[str, int]
    overlap: float | None
    highest_exposure: float | None
    never_given: int

    @property
    def mean_length(self) -> float:
        return fmean(each.found.items_counted for each in self.examinees)

    @property
    def mean_se(self) -> float:
        return fmean(each.found.se for each in self.examinees)

    @property
    def bias(self) -> float:
        return fmean(each.found.theta - each.true_theta for each in self.examinees)

    @property
    def rmse(self) -> float:
        return math.sqrt(fmean((each.found.theta - each.true_theta) ** 2 for each in self.examinees))


async def play_adaptive(  # noqa: PLR0913 - where to and as whom; the rest has defaults
    base_url: str,
    client_id: str,
    client_secret: str,
    state_dir: Path,
    *,
    console: Console,
    examinees: int = EXAMINEES,
    concurrency: int = CONCURRENCY,
    patience_s: float = PATIENCE_S,
) -> AdaptivePlayReport:
    """Publishes the exam, has it taken, and waits until the results show everybody.

    Raises `PlayStopped` with the reason when it cannot go on.
    """
    bank = adaptive_bank()
    plan = _plan(bank)
    names = [f"{number:03d}" for number in range(1, examinees + 1)]
    with PlayProgress(console, NAME, len(names)) as progress:
        async with open_api(
            base_url, connections=concurrency, patience_s=patience_s, on_trouble=Troubles(console)
        ) as api:
            sign_in = as_service(api, client_id, client_secret)
            file = open_state(state_dir, NAME, plan.items.decode(), plan.exam, client_id)
            exam = await author_exam(sign_in, plan, file)
            play = _Play(api, sign_in, file, {item.code: item for item in bank}, exam, progress)
            if file.state.handed_in < len(names) or await play.finished() < len(names):
                await enrol(sign_in, file, NAME, names)
                await play.play(names, concurrency)
            else:
                progress.skip(len(names))
            return await play.report(names, patience_s)


def true_ability(name: str) -> float:
    """From N(0, 1), by the examinee's name."""
    return Random(f"{SEED} {name}").gauss()  # noqa: S311 - a simulated examinee, no secret


def answer_of(name: str, item: BankItem) -> str:
    """The option that this examinee chooses, whenever the item comes."""
    lot = hashlib.sha256(f"{SEED} {name} {item.code}".encode()).digest()
    if int.from_bytes(lot[:6]) / 2**48 < item.chance(true_ability(name)):
        return str(item.key + 1)
    wrong = [number for number in range(len(item.options)) if number != item.key]
    return str(wrong[lot[6] % len(wrong)] + 1)


class _Item(msgspec.Struct, frozen=True):
    item_id: str


class _Next(msgspec.Struct, frozen=True):
    status: Literal["item", "deciding", "finished"]
    item: _Item | None


class _Started(msgspec.Struct, frozen=True):
    attempt_id: str
    attempt_token: str
    next: _Next


class _Saved(msgspec.Struct, frozen=True):
    next: _Next


class _Result(msgspec.Struct, frozen=True):
    attempt_id: str
    examinee_id: str
    ability: AbilityFound | None


class _Results(msgspec.Struct, frozen=True):
    items: list[_Result]
    next_cursor: str | None


class _Report(msgspec.Struct, frozen=True):
    pool_size: int
    pretest_items: int
    attempts: int
    stop_reasons: dict[str, int]
    overlap: float | None
    highest_exposure: float | None
    never_given: int


@dataclass
class _Play:
    """`last_tokens` holds the consistency token of each worker's last write."""

    api: ApiClient
    sign_in: SignIn
    file: StateFile
    items: dict[str, BankItem]
    exam: PublishedExam
    progress: PlayProgress
    last_tokens: dict[int, str] = field(default_factory=dict)

    async def finished(self) -> int:
        """Attempts that are scored, as the server knows."""
        return (await self._adaptive_report(self.exam.consistency_token)).attempts

    async def play(self, names: list[str], concurrency: int) -> None:
        self.progress.start_clock()
        todo = iter(names)
        code_of = {item_id: code for code, item_id in self.file.state.item_ids.items()}
        try:
            async with asyncio.TaskGroup() as workers:
                for number in range(concurrency):
                    workers.create_task(self._work(number, todo, code_of))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # all workers meet the same refusal
        self.file.state.handed_in = len(names)
        self.file.save()

    async def report(self, names: list[str], patience_s: float) -> AdaptivePlayReport:
        """Once everybody is in it.

        Each worker's last write covers its earlier ones; an earlier play's are waited for by their number.
        """
        for token in self.last_tokens.values():
            await self._adaptive_report(token)
        loop = asyncio.get_running_loop()
        gives_up_at = loop.time() + patience_s
        name_of = {user_id: name for name, user_id in self.file.state.user_ids.items()}
        while True:
            shown = await self._adaptive_report(self.exam.consistency_token)
            found = await self._results(name_of)
            wanted = [each for each in found if each.name in names]
            if len(wanted) >= len(names):
                break
            if loop.time() > gives_up_at:
                raise PlayStopped(
                    f"{len(names)} examinees have finished, but the results show {len(wanted)}. "
                    "`megacity projection list` says how the projections are."
                )
            await asyncio.sleep(0.2)
        return AdaptivePlayReport(
            exam_id=self.exam.exam_id,
            pool_size=shown.pool_size,
            pretest_items=shown.pretest_items,
            skipped=self.progress.skipped,
            answers=self.progress.answers,
            duration_s=self.progress.duration_s,
            examinees=sorted(wanted, key=lambda each: each.name),
            stop_reasons=shown.stop_reasons,
            overlap=shown.overlap,
            highest_exposure=shown.highest_exposure,
            never_given=shown.never_given,
        )

    async def _work(self, number: int, todo: Iterator[str], code_of: dict[str, str]) -> None:
        for name in todo:
            token = await self._play_examinee(name, code_of)
            if token is not None:
                self.last_tokens[number] = token
            self.progress.handed_in(before=token is None)

    async def _play_examinee(self, name: str, code_of: dict[str, str]) -> str | None:
        """The consistency token of the last answer; None where the test was over before."""
        for _ in range(TOKENS_RENEWED):
            try:
                return await self._take_test(name, code_of)
            except ApiRefused as refused:
                if refused.slug in {"no-attempts-left", "attempt-finished"}:
                    return None
                if refused.status != 401:
                    raise
        raise PlayStopped(f"The token for the attempt of examinee {name} is refused again and again.")

    async def _take_test(self, name: str, code_of: dict[str, str]) -> str | None:
        # Starting again goes on with the attempt that runs, at the very item that waits for an answer.
        body = {"examinee_id": self.file.state.user_ids[name]}
        answer = await self.sign_in.send("POST", f"/exams/{self.exam.exam_id}/attempts", body=body)
        started = answer.read(_Started)
        path, bearer = f"/attempts/{started.attempt_id}", started.attempt_token
        coming, token = started.next, answer.consistency_token
        while coming.status != "finished":
            if coming.item is None:
                answer = await self.api.send("GET", f"{path}/next?wait_s={WAIT_S}", bearer=bearer)
                coming = answer.read(_Next)
            else:
                item_id = coming.item.item_id
                option = answer_of(name, self.items[code_of[item_id]])
                answer = await self.api.send(
                    "PUT",
                    f"{path}/responses/{item_id}",
                    bearer=bearer,
                    body={"response": {"options": [option]}, "sequence": 1},
                )
                self.progress.answered()
                coming = answer.read(_Saved).next
            token = answer.consistency_token or token
        return token

    async def _results(self, name_of: dict[str, str]) -> list[Examined]:
        found: list[Examined] = []
        cursor = ""
        while True:
            path = f"/exams/{self.exam.exam_id}/results?limit=100{cursor}"
            page = (await self.sign_in.send("GET", path)).read(_Results)
            found += [
                Examined(
                    name=name_of[each.examinee_id],
                    attempt_id=each.attempt_id,
                    true_theta=true_ability(name_of[each.examinee_id]),
                    found=each.ability,
                )
                # Others may have taken it, too: who tries things out, say.
                for each in page.items
                if each.ability is not None and each.examinee_id in name_of
            ]
            if page.next_cursor is None:
                return found
            cursor = f"&cursor={page.next_cursor}"

    async def _adaptive_report(self, consistency_token: str | None) -> _Report:
        path = f"/exams/{self.exam.exam_id}/adaptive-report"
        answer = await self.sign_in.send("GET", path, consistency_token=consistency_token)
        return answer.read(_Report)


def _plan(bank: list[BankItem]) -> ExamPlan:
    title = {"ko": "적응형 견본 시험: 계산과 규칙", "en": "Adaptive sample exam: calculation and rules"}
    return ExamPlan(
        bank={
            "name": title["en"],
            "description": "Parameters were drawn, not calibrated: for trying things out.",
        },
        items=msgspec.json.encode({"items": [item.body() for item in bank]}),
        exam={
            "title": title,
            "description": {
                "ko": "문항마다 지금까지의 답에 따라 다음 문항을 고릅니다.",
                "en": "Each item is chosen by the answers so far.",
            },
            "audience": "zone",
            "release": "at_once",
            "adaptive": RULES,
        },
    )
