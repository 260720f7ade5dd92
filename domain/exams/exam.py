"""An exam: draft, then published, then closed."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

import msgspec

from domain.errors import IllegalState, Malformed, NotFound
from domain.events import Event
from domain.exams.adaptive import MAX_POOL, Fault, Pool, faults_in_pool, faults_in_rules
from domain.exams.events import Blueprint, ExamClosed, ExamDrafted, ExamPublished, ResultsReleased

MAX_ITEMS = 500
"""On a form that everybody gets. The pool of an adaptive exam may be larger: `MAX_POOL`."""
MAX_ATTEMPTS = 100
MAX_TIME_LIMIT_S = 7 * 24 * 3600


class Nothing(msgspec.Struct, frozen=True):
    pass


class Draft(msgspec.Struct, frozen=True):
    blueprint: Blueprint


class Published(msgspec.Struct, frozen=True, kw_only=True):
    blueprint: Blueprint
    results_released: bool


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    blueprint: Blueprint
    results_released: bool


Exam: TypeAlias = Nothing | Draft | Published | Closed


class ExamNotFound(NotFound):
    code = "exam-not-found"
    title = "There is no such exam"


class ExamExists(IllegalState):
    code = "exam-exists"
    title = "This exam exists already"


class ExamNotDraft(IllegalState):
    code = "exam-not-draft"
    title = "The exam is published and can no longer be changed"


class ExamNotPublished(IllegalState):
    code = "exam-not-published"
    title = "The exam is not published yet"


class ExamIsClosed(IllegalState):
    code = "exam-closed"
    title = "The exam is closed"


class ExamNotOpenYet(IllegalState):
    code = "exam-not-open-yet"
    title = "The exam has not opened yet"


class ExamWindowOver(IllegalState):
    code = "exam-window-over"
    title = "The time in which this exam may be taken is over"


class UnusableBlueprint(Malformed):
    """Carries `errors`, a list of pointer, code and detail."""

    code = "unusable-exam"
    title = "The exam cannot be used as it is"


def evolve(state: Exam, event: Event) -> Exam:
    match state, event:
        case (Nothing() | Draft(), ExamDrafted()):
            return Draft(event.blueprint)
        case (Draft(), ExamPublished()):
            return Published(blueprint=event.blueprint, results_released=False)
        case (Published(), ExamClosed()):
            return Closed(blueprint=state.blueprint, results_released=state.results_released)
        case (Published() | Closed(), ResultsReleased()):
            return msgspec.structs.replace(state, results_released=True)
        case _:
            return state


def draft(state: Exam, blueprint: Blueprint, *, new: bool) -> list[Event]:
    """A first draft (`new`), or another one in its place. No event where nothing would change."""
    refuse_unusable(blueprint)
    match state:
        case Nothing():
            if not new:
                raise ExamNotFound
            return [ExamDrafted(blueprint=blueprint)]
        case Draft():
            if new:
                raise ExamExists
            return [] if state.blueprint == blueprint else [ExamDrafted(blueprint=blueprint)]
        case Published() | Closed():
            raise ExamNotDraft
        case _:
            assert_never(state)


def publish(state: Exam, now: datetime, pool: Pool | None = None) -> list[Event]:
    """Makes the draft final; publishing what is published changes nothing.

    `pool` is what the items of an adaptive exam are now. Raises `UnusableBlueprint` where its rules cannot
    be met with it.
    """
    match state:
        case Nothing():
            raise ExamNotFound
        case Draft(blueprint):
            if blueprint.closes_at is not None and blueprint.closes_at <= now:
                raise ExamWindowOver(closes_at=blueprint.closes_at.isoformat())
            if blueprint.adaptive is None:
                return [ExamPublished(blueprint=blueprint)]
            assert pool is not None
            assert len(pool.items) == len(blueprint.items)
            refuse(faults_in_pool(blueprint.adaptive, pool))
            return [ExamPublished(blueprint=msgspec.structs.replace(blueprint, pool=pool))]
        case Published():
            return []
        case Closed():
            raise ExamIsClosed
        case _:
            assert_never(state)


def close(state: Exam, *, by_clock: bool) -> list[Event]:
    match state:
        case Nothing():
            raise ExamNotFound
        case Draft():
            raise ExamNotPublished
        case Published():
            return [ExamClosed(reason="window_ended" if by_clock else "teacher")]
        case Closed():
            return []
        case _:
            assert_never(state)


def release_results(state: Exam) -> list[Event]:
    match state:
        case Nothing():
            raise ExamNotFound
        case Draft():
            raise ExamNotPublished
        case Published() | Closed():
            return [] if state.results_released else [ResultsReleased()]
        case _:
            assert_never(state)


def open_for_attempts(state: Exam, now: datetime) -> Published:
    """The published exam, when an attempt may start now; else raises the reason why not."""
    match state:
        case Nothing():
            raise ExamNotFound
        case Draft():
            raise ExamNotPublished
        case Closed():
            raise ExamIsClosed
        case Published():
            opens_at, closes_at = state.blueprint.opens_at, state.blueprint.closes_at
            if opens_at is not None and now < opens_at:
                raise ExamNotOpenYet(opens_at=opens_at.isoformat())
            if closes_at is not None and now >= closes_at:
                raise ExamWindowOver(closes_at=closes_at.isoformat())
            return state
        case _:
            assert_never(state)


def deadline(blueprint: Blueprint, started_at: datetime) -> datetime | None:
    """When an attempt ends: after its time limit or with the window, whichever comes first."""
    ends = [] if blueprint.closes_at is None else [blueprint.closes_at]
    if blueprint.time_limit_s is not None:
        ends.append(started_at + timedelta(seconds=blueprint.time_limit_s))
    return min(ends, default=None)


def refuse_unusable(blueprint: Blueprint) -> None:
    """Raises `UnusableBlueprint` with every fault there is."""
    refuse((*_faults_in_form(blueprint), *_faults_in_rules(blueprint), *_faults_in_adaptive(blueprint)))


def refuse(faults: Iterable[Fault]) -> None:
    """Raises `UnusableBlueprint` where there are any."""
    found = [{"pointer": pointer, "code": code, "detail": detail} for pointer, code, detail in faults]
    if found:
        raise UnusableBlueprint(errors=found)


def _faults_in_adaptive(blueprint: Blueprint) -> Iterator[Fault]:
    if blueprint.adaptive is not None:
        item_ids = [item.item_id for item in blueprint.items]
        for pointer, code, detail in faults_in_rules(blueprint.adaptive, item_ids):
            yield f"/adaptive{pointer}", code, detail


def _faults_in_form(blueprint: Blueprint) -> Iterator[Fault]:
    if not blueprint.title:
        yield "/title", "no-language", "The title needs a text in at least one language."
    for language, words in blueprint.title.items():
        if not words.strip():
            yield f"/title/{language}", "empty-text", "The text is empty."
    most = MAX_ITEMS if blueprint.adaptive is None else MAX_POOL
    if not 1 <= len(blueprint.items) <= most:
        yield "/items", "number-of-items", f"An exam has 1 to {most} items."
    seen: set[str] = set()
    for index, item in enumerate(blueprint.items):
        if item.item_id in seen:
            yield f"/items/{index}", "duplicate-item", "This item is on the form already."
        seen.add(item.item_id)


def _faults_in_rules(blueprint: Blueprint) -> Iterator[Fault]:
    if blueprint.time_limit_s is not None and not 1 <= blueprint.time_limit_s <= MAX_TIME_LIMIT_S:
        yield "/time_limit_s", "time-limit", f"The time limit is 1 to {MAX_TIME_LIMIT_S} seconds."
    if not 1 <= blueprint.attempts_allowed <= MAX_ATTEMPTS:
        yield "/attempts_allowed", "attempts-allowed", f"Allow 1 to {MAX_ATTEMPTS} attempts."
    opens_at, closes_at = blueprint.opens_at, blueprint.closes_at
    if opens_at is not None and closes_at is not None and opens_at >= closes_at:
        yield "/closes_at", "empty-window", "The window closes before it opens."
