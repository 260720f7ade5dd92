"""Footprints: which rows of a projection come from one stream, so that they can be made anew by themselves.

Most rows come from the events of the stream that they are named after. Some need others: an exam's
greatest score is the sum of its items' points, its statistics are those of its attempts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.event_types import EVENT_CLASSES
from domain.events import PositionedEvent
from domain.exams.events import ExamDrafted, ExamPublished
from domain.identifiers import StreamId
from infra.projections.checkpoints import Connection, read_checkpoint

Related = Callable[[Connection, int, StreamId, Sequence[PositionedEvent]], Iterable[StreamId]]
"""Other streams that the rows of a stream depend on, given the position of the rows and the stream's
events. Raises `NotComparable`."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The rows of one category's streams.

    Attributes:
        columns: for each table, the column that holds the stream's id.
        related: finds the other streams that count.
    """

    columns: Mapping[str, str]
    related: Related | None = None


class NotComparable(Exception):
    """The rows cannot be judged now; nothing is wrong with them."""


def _items_of_exam(
    _connection: Connection, _position: int, _exam: StreamId, events: Sequence[PositionedEvent]
) -> set[StreamId]:
    blueprints = (
        each.recorded.event.blueprint
        for each in events
        if isinstance(each.recorded.event, ExamDrafted | ExamPublished)
    )
    # Nothing of an adaptive exam is a sum over its pool, which may be large.
    return {
        item.item_id for blueprint in blueprints if blueprint.adaptive is None for item in blueprint.items
    }


def _items_and_attempts_of_exam(
    connection: Connection, position: int, exam: StreamId, events: Sequence[PositionedEvent]
) -> set[StreamId]:
    published = (each.recorded.event for each in events if isinstance(each.recorded.event, ExamPublished))
    if any(event.blueprint.adaptive is not None for event in published):
        return set()  # no statistics, however many attempts there are
    attempts = read_checkpoint(connection, "attempts")
    if attempts is None or attempts.position < position or attempts.set_aside:
        raise NotComparable("the list of attempts is behind the statistics of its exams")
    rows = connection.execute("SELECT attempt_id FROM read.attempts WHERE exam_id = %s", [exam]).fetchall()
    return _items_of_exam(connection, position, exam, events) | {row["attempt_id"] for row in rows}


_CATEGORIES: Final = sorted({cls.type_.category for cls in EVENT_CLASSES})
_STATISTICS: Final = {
    "exam_statistics": "exam_id",
    "item_statistics": "exam_id",
    "option_statistics": "exam_id",
    "score_distribution": "exam_id",
}
_CALIBRATIONS: Final = (
    "bank_scales",
    "calibrations",
    "calibrated_items",
    "promoted_items",
    "drift_alarms",
)

FOOTPRINTS: Final[Mapping[str, Mapping[str, Footprint]]] = {
    "access": {
        "user": Footprint({"accounts": "user_id", "memberships": "user_id"}),
        "organization": Footprint({"organizations": "org_id"}),
        "class": Footprint({"classes": "class_id", "class_members": "class_id"}),
        "parent_link": Footprint({"parent_links": "link_id"}),
    },
    "people": {"user": Footprint({"people": "user_id"})},
    "catalogue": {
        "item_bank": Footprint({"item_banks": "bank_id"}),
        "item": Footprint({"item_versions": "item_id", "item_keys": "item_id"}),
        "exam": Footprint(
            {"exams": "exam_id", "exam_items": "exam_id", "adaptive_exams": "exam_id"}, _items_of_exam
        ),
    },
    "attempts": {
        "attempt": Footprint(
            {
                "attempts": "attempt_id",
                "attempt_scores": "attempt_id",
                "attempt_responses": "attempt_id",
                "scored_items": "attempt_id",
                "attempt_abilities": "attempt_id",
                "attempt_steps": "attempt_id",
            }
        )
    },
    "item_analysis": {
        "item": Footprint({"analysis_items": "item_id"}),
        "exam": Footprint(_STATISTICS, _items_and_attempts_of_exam),
    },
    "invitations": {
        "invitation": Footprint({"invitations": "invitation_id"}),
        "user": Footprint({"verified_addresses": "user_id"}),
    },
    "calibrations": {"item_bank": Footprint(dict.fromkeys(_CALIBRATIONS, "bank_id"))},
    "role_reviews": {"user": Footprint({"role_reviews": "user_id"})},
    "subscriptions": {"subscription": Footprint({"subscriptions": "subscription_id"})},
    "policies": {
        "policy": Footprint({"policies": "policy_id"}),
        "observation": Footprint({"access_decisions": "recorded_in"}),
    },
    "audit": {category: Footprint({"audit_entries": "resource_id"}) for category in _CATEGORIES},
}
"""By projection and category of stream."""

ALSO_READ: Final[Mapping[str, tuple[str, ...]]] = {"item_analysis": ("attempts",)}
"""Tables of other projections that a projection's footprints look into."""
