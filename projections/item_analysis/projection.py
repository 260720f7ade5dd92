"""Classical item analysis of each exam, as sums over its examinees.

Only an examinee's first attempt counts: whoever takes an exam again has seen its items, and counting
the same person twice would make examinees look more alike than they are.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from domain.attempts.events import AttemptScored, ScoredItem
from domain.events import Event, PositionedEvent, RecordedEvent
from domain.exams.events import ExamPublished
from domain.items.content import MultipleChoice, MultipleResponse
from domain.items.events import ItemCreated, ItemRevised
from domain.items.responses import ChosenOptions
from projections.item_analysis.tables import (
    ANALYSIS_ITEMS,
    EXAM_STATISTICS,
    ITEM_STATISTICS,
    OPTION_STATISTICS,
    SCORE_DISTRIBUTION,
)
from projections.projection import Cursor
from projections.rows import Key, Row, RowMissing, Rows, owner_of

FIRST_ATTEMPT = 1


class ItemAnalysisProjection:
    name: ClassVar[str] = "item_analysis"
    version: ClassVar[int] = 1
    tables: ClassVar[tuple[str, ...]] = (
        "score_distribution",
        "option_statistics",
        "item_statistics",
        "exam_statistics",
        "analysis_items",
    )
    event_types: ClassVar[tuple[type[Event], ...]] = (ItemCreated, ItemRevised, ExamPublished, AttemptScored)

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        recorded = [each.recorded for each in events]
        published = [each for each in recorded if isinstance(each.event, ExamPublished)]
        scored = [
            each.event
            for each in recorded
            if isinstance(each.event, AttemptScored) and each.event.ordinal == FIRST_ATTEMPT
        ]
        items = ANALYSIS_ITEMS.load(cursor, _items_named(published))
        for each in recorded:
            if isinstance(each.event, ItemCreated | ItemRevised):
                items.put(_item(each, each.event))
        sums = _Sums(cursor, published, scored)
        for each in published:
            sums.publish(each, items)
        for event in scored:
            sums.count(event)
        items.save(cursor)
        sums.save(cursor)


class _Sums:
    """The rows that a batch adds to."""

    def __init__(
        self, cursor: Cursor, published: Sequence[RecordedEvent], scored: Sequence[AttemptScored]
    ) -> None:
        exam_ids = {each.stream_id for each in published} | {event.exam_id for event in scored}
        self.exams = EXAM_STATISTICS.load(cursor, ((exam_id,) for exam_id in exam_ids))
        self.items = ITEM_STATISTICS.load(
            cursor,
            ((event.exam_id, ordinal) for event in scored for ordinal, _ in enumerate(event.items, 1)),
        )
        self.options = OPTION_STATISTICS.load(
            cursor,
            (
                (event.exam_id, item.item_id, option)
                for event in scored
                for item in event.items
                for option in _chosen(item)
            ),
        )
        self.distribution = SCORE_DISTRIBUTION.load(
            cursor, ((event.exam_id, event.score) for event in scored)
        )

    def publish(self, recorded: RecordedEvent, items: Rows) -> None:
        """Rows of nought: an exam that nobody has taken yet has an analysis too."""
        assert isinstance(recorded.event, ExamPublished)
        exam_id = recorded.stream_id
        owner = owner_of(recorded)
        max_score = 0
        for ordinal, pinned in enumerate(recorded.event.blueprint.items, 1):
            item = items.get(pinned.item_id, pinned.item_version)
            if item is None:
                raise RowMissing("analysis_items", (pinned.item_id, pinned.item_version))
            max_score += item["points"]
            of_item = {"exam_id": exam_id, "item_id": pinned.item_id, **owner}
            self.items.put(
                of_item
                | {"ordinal": ordinal, "item_version": pinned.item_version, "max_score": item["points"]}
                | _noughts("n", "answered", "sum_item", "sum_item_squared", "sum_item_times_total")
            )
            for place, option in enumerate(item["options"], 1):
                self.options.put(
                    of_item | {"option": option, "ordinal": place} | _noughts("chosen", "sum_total")
                )
        self.exams.put(
            {
                "exam_id": exam_id,
                **owner,
                "items": len(recorded.event.blueprint.items),
                "max_score": max_score,
            }
            | _noughts("n", "sum_score", "sum_score_squared")
        )

    def count(self, event: AttemptScored) -> None:
        exam_id, total = event.exam_id, event.score
        exam = _present(self.exams, exam_id)
        _add(self.exams, (exam_id,), n=1, sum_score=total, sum_score_squared=total * total)
        for ordinal, item in enumerate(event.items, 1):
            _add(
                self.items,
                (exam_id, ordinal),
                n=1,
                answered=int(item.response is not None),
                sum_item=item.score,
                sum_item_squared=item.score * item.score,
                sum_item_times_total=item.score * total,
            )
            for option in _chosen(item):
                _add(
                    self.options,
                    (exam_id, item.item_id, option),
                    chosen=1,
                    sum_total=total,
                )
        if self.distribution.get(exam_id, total) is None:
            owner = {"zone_id": exam["zone_id"], "org_id": exam["org_id"]}
            self.distribution.put({"exam_id": exam_id, "score": total, **owner, "examinees": 0})
        _add(self.distribution, (exam_id, total), examinees=1)

    def save(self, cursor: Cursor) -> None:
        for rows in (self.exams, self.items, self.options, self.distribution):
            rows.save(cursor)


def _item(recorded: RecordedEvent, event: ItemCreated | ItemRevised) -> Row:
    content = event.content
    options = content.options if isinstance(content, MultipleChoice | MultipleResponse) else ()
    return {
        "item_id": recorded.stream_id,
        "item_version": 1 if isinstance(event, ItemCreated) else event.item_version,
        **owner_of(recorded),
        "points": content.points,
        "options": [option.id for option in options],
    }


def _items_named(published: Sequence[RecordedEvent]) -> Iterator[Key]:
    for each in published:
        assert isinstance(each.event, ExamPublished)
        for pinned in each.event.blueprint.items:
            yield pinned.item_id, pinned.item_version


def _chosen(item: ScoredItem) -> tuple[str, ...]:
    return item.response.options if isinstance(item.response, ChosenOptions) else ()


def _noughts(*columns: str) -> dict[str, Any]:
    return dict.fromkeys(columns, 0)


def _present(rows: Rows, *key: Any) -> Row:
    row = rows.get(*key)
    if row is None:
        raise RowMissing(rows.table_name, key)
    return row


def _add(rows: Rows, key: Key, **amounts: int) -> None:
    row = _present(rows, *key)
    rows.change(*key, **{column: row[column] + amount for column, amount in amounts.items()})
