"""How far a play is: a moving bar on a terminal, a plain line every few seconds elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

PLAIN_INTERVAL_S = 5.0
TROUBLE_INTERVAL_S = 5.0


class Troubles:
    """Says what went wrong and is tried again: now and then, not at every failure."""

    def __init__(self, console: Console, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = monotonic
        self._told_at = float("-inf")

    def __call__(self, what: str) -> None:
        if self._now() - self._told_at >= TROUBLE_INTERVAL_S:
            self._told_at = self._now()
            self._console.print(f"Trying again: {what}", soft_wrap=True, markup=False)


class PlayProgress:
    """Counts examinees and answers, and shows them. Use it as a context."""

    def __init__(
        self,
        console: Console,
        name: str,
        examinees: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answers = 0
        """Sent by this play; what an earlier one had sent is not counted."""
        self.skipped = 0
        """Examinees who had handed in before."""
        self._console = console
        self._name = name
        self._total = examinees
        self._done = 0
        self._now = monotonic
        self._begun_at = self._told_at = self._done_at = self._now()
        self._bar = _bar(console) if console.is_terminal else None
        self._task: TaskID | None = None

    @property
    def duration_s(self) -> float:
        """From the start of the clock to the last thing that was played."""
        return self._done_at - self._begun_at

    @property
    def answers_per_s(self) -> float:
        return self.answers / max(self.duration_s, 0.001)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._name, total=self._total, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._show()
            self._bar.stop()
        elif self._done:
            self._console.print(self._line(), soft_wrap=True)

    def start_clock(self) -> None:
        """What came before is not to be counted in answers per second."""
        self._begun_at = self._done_at = self._now()

    def answered(self) -> None:
        self.answers += 1
        self._done_at = self._now()
        self._show()

    def handed_in(self, *, before: bool = False) -> None:
        """One examinee is done; `before` says that an earlier play did it."""
        self._done += 1
        self.skipped += before
        if not before:
            self._done_at = self._now()
        self._show()

    def skip(self, examinees: int) -> None:
        """These examinees are known to be done."""
        self._done += examinees
        self.skipped += examinees
        self._show()

    def say(self, what: str) -> None:
        self._console.print(what, soft_wrap=True, markup=False)

    def _show(self) -> None:
        if self._bar is not None and self._task is not None:
            note = f"{self.answers:,} answers, {self.answers_per_s:,.0f}/s"
            self._bar.update(self._task, completed=self._done, note=note)
        elif self._now() - self._told_at >= PLAIN_INTERVAL_S:
            self._told_at = self._now()
            self._console.print(self._line(), soft_wrap=True)

    def _line(self) -> str:
        played = self._done - self.skipped
        if not played and not self.answers:
            return f"{self._name}: {self._done:,} of {self._total:,} examinees had handed in before"
        line = f"{self._name}: {self._done:,} of {self._total:,} examinees, {self.answers:,} answers"
        if played and self._done < self._total:
            left_s = (self._total - self._done) * self.duration_s / played
            return f"{line}, {self.answers_per_s:,.0f}/s, about {left_s:.0f} s left"
        return f"{line}, {self.answers_per_s:,.0f}/s"


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("examinees"),
        TextColumn("{task.fields[note]}", style="cyan"),
        TimeRemainingColumn(),
        console=console,
    )
