"""Plays recorded answers through the HTTP API, as if the examinees sat there now.

Every request may be sent any number of times and takes effect once: ids are found again by keys and
names, answers carry sequence numbers, and handing in twice changes nothing. So a play that was stopped
anywhere goes on by playing again.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console

from infra.sample.analysis import ExamAnalysis
from infra.sample.api_client import ApiClient, ApiRefused, PlayStopped, SignIn, as_service, open_api
from infra.sample.authoring import ExamPlan, PublishedExam, author_exam
from infra.sample.datasets import ResponseData, ResponseRow
from infra.sample.enrolment import enrol
from infra.sample.progress import PlayProgress, Troubles
from infra.sample.state_file import StateFile, open_state

CONCURRENCY = 16
PATIENCE_S = 120.0
SAVE_INTERVAL_S = 2.0
TOKENS_RENEWED = 3
"""How often an attempt's token may be refused before that is a fault."""

CONTENT_AREAS = {"LSAT7": "reasoning"}


class PlayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a play did, and the analysis of all answers to the exam.

    Attributes:
        skipped: of the examinees, those who had handed in before.
        answers: sent by this play.
    """

    name: str
    title: str
    exam_id: str
    examinees: int
    skipped: int
    answers: int
    duration_s: float
    answers_per_s: float
    analysis: ExamAnalysis


async def play_data_set(  # noqa: PLR0913 - where to, as whom and what; the rest has defaults
    data: ResponseData,
    base_url: str,
    client_id: str,
    client_secret: str,
    state_dir: Path,
    *,
    console: Console,
    concurrency: int = CONCURRENCY,
    limit: int | None = None,
    patience_s: float = PATIENCE_S,
) -> PlayReport:
    """Plays the first `limit` examinees (all, without one) and waits until the analysis includes them.

    Raises `PlayStopped` with the reason when it cannot go on.
    """
    rows = data.rows[:limit]
    with PlayProgress(console, data.name, len(rows)) as progress:
        async with open_api(
            base_url, connections=concurrency, patience_s=patience_s, on_trouble=Troubles(console)
        ) as api:
            sign_in = as_service(api, client_id, client_secret)
            file = open_state(state_dir, data.name, *identity(data), client_id)
            exam = await author_exam(sign_in, _plan(data), file)
            play = _Play(api=api, sign_in=sign_in, file=file, data=data, exam=exam, progress=progress)
            analysis = await play.already_finished(len(rows))
            if analysis is None:
                await enrol(sign_in, file, data.name, [row.examinee for row in rows])
                await play.play(rows, concurrency)
                analysis = await play.await_analysis(len(rows), patience_s)
        return PlayReport(
            name=data.name,
            title=data.title,
            exam_id=exam.exam_id,
            examinees=len(rows),
            skipped=progress.skipped,
            answers=progress.answers,
            duration_s=progress.duration_s,
            answers_per_s=progress.answers_per_s,
            analysis=analysis,
        )


def identity(data: ResponseData) -> tuple[object, ...]:
    """What makes two data sets the same one; its title does not."""
    return ("responses", data.name, data.item_codes, data.options, data.key, data.rows)


class _Attempt(msgspec.Struct, frozen=True):
    attempt_id: str
    attempt_token: str


@dataclass(kw_only=True)
class _Play:
    """One play of one data set. `last_tokens` holds the consistency token of each worker's last write."""

    api: ApiClient
    sign_in: SignIn
    file: StateFile
    data: ResponseData
    exam: PublishedExam
    progress: PlayProgress
    last_tokens: dict[int, str] = field(default_factory=dict)

    async def already_finished(self, examinees: int) -> ExamAnalysis | None:
        """The analysis, if an earlier play finished all of them and the server still knows."""
        if self.file.state.handed_in == 0:
            return None
        analysis = await self._analysis(self.exam.consistency_token)
        if analysis.n < self.file.state.handed_in:
            # The database is older than our notes (restored from a backup, say): look at everybody again.
            self.file.state.handed_in = 0
        if self.file.state.handed_in < examinees:
            return None
        self.progress.skip(examinees)
        return analysis

    async def play(self, rows: Sequence[ResponseRow], concurrency: int) -> None:
        """Plays whoever is not known to have handed in, so many at once."""
        done_before = self.file.state.handed_in
        self.progress.skip(done_before)
        self.progress.start_clock()
        frontier = Frontier(done_before)
        todo = iter(list(enumerate(rows))[done_before:])
        saving = asyncio.create_task(self._save_now_and_then(frontier))
        try:
            async with asyncio.TaskGroup() as workers:
                for number in range(concurrency):
                    workers.create_task(self._work(number, todo, frontier))
        except BaseExceptionGroup as failures:
            # All workers meet the same refusal; one is enough to tell.
            raise _first_of(failures) from None
        finally:
            saving.cancel()
            self._note(frontier)

    async def await_analysis(self, examinees: int, patience_s: float) -> ExamAnalysis:
        """The analysis once it includes this play's answers and as many examinees as were played.

        Each worker's last write covers its earlier ones. An earlier play's tokens are lost with it: for
        its part the number of examinees tells, and patience lasts as long as that number grows.
        """
        self.progress.say("Waiting for the analysis to include every answer")
        analysis = await self._analysis(self.exam.consistency_token)
        for token in self.last_tokens.values():
            analysis = await self._analysis(token)
        loop = asyncio.get_running_loop()
        grown_at = loop.time()
        while analysis.n < examinees:
            if loop.time() - grown_at > patience_s:
                raise PlayStopped(
                    f"{examinees} examinees have handed in, but the analysis has stood at {analysis.n} for "
                    f"{patience_s:g} s. `megacity projection list` says how the projections are."
                )
            await asyncio.sleep(0.2)
            newer = await self._analysis(self.exam.consistency_token)
            if newer.n > analysis.n:
                grown_at = loop.time()
            analysis = newer
        return analysis

    async def _work(self, number: int, todo: Iterator[tuple[int, ResponseRow]], frontier: "Frontier") -> None:
        for index, row in todo:
            frontier.begin(index)
            token = await self._play_examinee(row)
            frontier.end(index)
            if token is not None:
                self.last_tokens[number] = token
            self.progress.handed_in(before=token is None)

    async def _play_examinee(self, row: ResponseRow) -> str | None:
        """The consistency token of handing in; None where that was done before."""
        for _ in range(TOKENS_RENEWED):
            try:
                return await self._take_exam(row)
            except ApiRefused as refused:
                if refused.slug in {"no-attempts-left", "attempt-finished"}:
                    return None
                if refused.status != 401:
                    raise
        raise PlayStopped(f"The token for the attempt of examinee {row.examinee} is refused again and again.")

    async def _take_exam(self, row: ResponseRow) -> str | None:
        # No idempotency key here and at the end: both requests are repeatable by nature, and a kept answer
        # would say that an attempt runs which has been handed in since.
        body = {"examinee_id": self.file.state.user_ids[row.examinee]}
        started = await self.sign_in.send("POST", f"/exams/{self.exam.exam_id}/attempts", body=body)
        attempt = started.read(_Attempt)
        path = f"/attempts/{attempt.attempt_id}"
        for code, option in zip(self.data.item_codes, row.answers, strict=True):
            if option is None:
                continue
            await self.api.send(
                "PUT",
                f"{path}/responses/{self.file.state.item_ids[code]}",
                bearer=attempt.attempt_token,
                body={"response": {"options": [option]}, "sequence": 1},
            )
            self.progress.answered()
        submitted = await self.api.send("POST", f"{path}/submit", bearer=attempt.attempt_token)
        return submitted.consistency_token

    async def _analysis(self, consistency_token: str | None) -> ExamAnalysis:
        path = f"/analytics/exam/{self.exam.exam_id}"
        answer = await self.sign_in.send("GET", path, consistency_token=consistency_token)
        return answer.read(ExamAnalysis)

    async def _save_now_and_then(self, frontier: "Frontier") -> None:
        while True:
            await asyncio.sleep(SAVE_INTERVAL_S)
            self._note(frontier)

    def _note(self, frontier: "Frontier") -> None:
        if frontier.finished > self.file.state.handed_in:
            self.file.state.handed_in = frontier.finished
            self.file.save()


class Frontier:
    """Work that is begun in order and ends in any order: how much of it, from the start on, is all done."""

    def __init__(self, finished: int = 0) -> None:
        self._next = finished
        self._running: set[int] = set()

    @property
    def finished(self) -> int:
        return min(self._running, default=self._next)

    def begin(self, index: int) -> None:
        self._running.add(index)
        self._next = index + 1

    def end(self, index: int) -> None:
        self._running.remove(index)


def _plan(data: ResponseData) -> ExamPlan:
    area = CONTENT_AREAS.get(data.name, data.name)
    items = [
        {
            "code": code,
            "kind": "multiple_choice",
            "content_area": area,
            "stem": {"en": f"{data.name}, item {code}", "ko": f"{data.name}, 문항 {code}"},
            "options": [
                {"id": option, "text": {"en": f"Option {option}", "ko": f"보기 {option}"}}
                for option in data.options
            ],
            "key": {"options": [data.key[code]]},
        }
        for code in data.item_codes
    ]
    return ExamPlan(
        bank={"name": data.name, "description": data.title},
        items=msgspec.json.encode({"items": items}),
        exam={
            "title": {"en": data.title, "ko": data.title},
            "audience": "organization",
            "release": "by_hand",
        },
    )


def _first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
