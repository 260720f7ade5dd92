"""What happens to an exam: drafted, published, closed, results released."""

from datetime import datetime
from typing import Literal

import msgspec

from domain.events import Event, Retention, event_type
from domain.exams.adaptive import AdaptiveRules, Pool
from domain.identifiers import StreamId
from domain.languages import LocalizedText

ReleaseRule = Literal["at_once", "after_closing", "by_hand"]
"""When examinees see their results: as soon as they are scored, when the exam is closed, or when told."""

Audience = Literal["organization", "zone"]
"""Who may take it: the examinees of the organisation, or everybody in the zone."""


class FormItem(msgspec.Struct, frozen=True):
    """An item in its pinned version."""

    item_id: StreamId
    item_version: int


class Blueprint(msgspec.Struct, frozen=True, kw_only=True):
    """All that an exam's author decides.

    `time_limit_s` is None where there is no limit; the window is half open, [opens_at, closes_at).
    With `adaptive` the items are the pool that each examinee's own test is chosen from; what the choice rests
    on is pinned in `pool` when the exam is published.
    """

    title: LocalizedText
    items: tuple[FormItem, ...]
    description: LocalizedText = {}
    time_limit_s: int | None = None
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    attempts_allowed: int = 1
    release: ReleaseRule = "at_once"
    audience: Audience = "organization"
    adaptive: AdaptiveRules | None = None
    pool: Pool | None = None


@event_type("exam.drafted", retention=Retention.STATE)
class ExamDrafted(Event, frozen=True, kw_only=True):
    """The draft as it now stands; a later one replaces it."""

    blueprint: Blueprint


@event_type("exam.published", retention=Retention.STATE)
class ExamPublished(Event, frozen=True, kw_only=True):
    """The form is final. It is repeated here, so that this fact alone says what was published."""

    blueprint: Blueprint


@event_type("exam.closed", retention=Retention.STATE)
class ExamClosed(Event, frozen=True, kw_only=True):
    """No attempt can start any more; those that run are submitted as they stand."""

    reason: Literal["teacher", "window_ended"]


@event_type("exam.results_released", retention=Retention.STATE)
class ResultsReleased(Event, frozen=True, kw_only=True):
    """From now on every examinee sees their own result, the key and the explanations."""
