"""Classical item analysis of each exam, as sums over its examinees.

Only an examinee's first attempt counts: whoever takes an exam again has seen its items, and counting
the same person twice would make examinees look more alike than they are.

Adaptive exams have none: each examinee is given other items, chosen so that about half are answered right,
and neither a share of right answers nor a correlation with the total score means anything then.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from domain.attempts.events import AttemptScored
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
    version: ClassVar[int] = 2
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
        published = [
            each
            for each in recorded
            if isinstance(each.event, ExamPublished) and each.event.blueprint.adaptive is None
        ]
        items = ANALYSIS_ITEMS.load(cursor, _items_named(published))
        for each in recorded:
            if isinstance(each.event, ItemCreated | ItemRevised):
                items.put(_item(each, each.event))
        items.save(cursor)
        for each in published:
            _publish(cursor, each, items)
        sums: dict[str, _Sums] = {}
        for each in recorded:
            event = each.event
            if isinstance(event, AttemptScored) and event.ordinal == FIRST_ATTEMPT and event.ability is None:
                if event.exam_id not in sums:
                    sums[event.exam_id] = _Sums()
                sums[event.exam_id].count(event)
        if sums:
            _add(cursor, sums)


class _Sums:
    """What a batch adds to one exam.

    The loop over the items is where the time goes: it does no more than it must for each, and leaves to the
    end what follows from the rest.
    """

    __slots__ = ("by_length", "by_score", "items", "n", "options", "score", "score_squared")

    def __init__(self) -> None:
        self.n = 0
        self.score = 0
        self.score_squared = 0
        self.by_score: dict[int, int] = {}
        self.by_length: dict[int, int] = {}
        self.items: list[list[int]] = []
        """For each item of the form: sum, sum of squares, sum of products with the total, omitted."""
        self.options: dict[str, dict[str, list[int]]] = {}
        """By item and option: how often chosen, sum of the totals."""

    def count(self, event: AttemptScored) -> None:
        total, scored = event.score, event.items
        self.n += 1
        self.score += total
        self.score_squared += total * total
        self.by_score[total] = self.by_score.get(total, 0) + 1
        length = len(scored)
        self.by_length[length] = self.by_length.get(length, 0) + 1
        while len(self.items) < length:
            self.items.append([0, 0, 0, 0])
        options = self.options
        for sums, item in zip(self.items, scored, strict=False):
            if score := item.score:
                sums[0] += score
                sums[1] += score * score
                sums[2] += score * total
            response = item.response
            if response is None:
                sums[3] += 1
            elif isinstance(response, ChosenOptions):
                of_item = options.get(item.item_id)
                if of_item is None:
                    of_item = options[item.item_id] = {}
                for option in response.options:
                    chosen = of_item.get(option)
                    if chosen is None:
                        of_item[option] = [1, total]
                    else:
                        chosen[0] += 1
                        chosen[1] += total

    def amounts_by_item(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """By ordinal: n, answered, sum, sum of squares, sum of products."""
        for ordinal, (total, squares, products, omitted) in enumerate(self.items, 1):
            n = sum(count for length, count in self.by_length.items() if length >= ordinal)
            yield ordinal, (n, n - omitted, total, squares, products)


def _publish(cursor: Cursor, recorded: RecordedEvent, items: Rows) -> None:
    """Rows of nought: an exam that nobody has taken yet has an analysis too."""
    assert isinstance(recorded.event, ExamPublished)
    exam_id = recorded.stream_id
    owner = owner_of(recorded)
    max_score = 0
    item_rows, option_rows = list[Row](), list[Row]()
    for ordinal, pinned in enumerate(recorded.event.blueprint.items, 1):
        item = items.get(pinned.item_id, pinned.item_version)
        if item is None:
            raise RowMissing("analysis_items", (pinned.item_id, pinned.item_version))
        max_score += item["points"]
        of_item = {"exam_id": exam_id, "item_id": pinned.item_id, **owner}
        item_rows.append(
            of_item
            | {"ordinal": ordinal, "item_version": pinned.item_version, "max_score": item["points"]}
            | _noughts("n", "answered", "sum_item", "sum_item_squared", "sum_item_times_total")
        )
        option_rows += (
            of_item | {"option": option, "ordinal": place} | _noughts("chosen", "sum_total")
            for place, option in enumerate(item["options"], 1)
        )
    exam = {"exam_id": exam_id, **owner, "items": len(item_rows), "max_score": max_score}
    ITEM_STATISTICS.save(cursor, item_rows)
    OPTION_STATISTICS.save(cursor, option_rows)
    EXAM_STATISTICS.save(cursor, [exam | _noughts("n", "sum_score", "sum_score_squared")])


def _add(cursor: Cursor, sums: Mapping[str, _Sums]) -> None:
    """Raises `RowMissing` where an exam, an item of it or an option was never published."""
    exams = EXAM_STATISTICS.load(cursor, ((exam_id,) for exam_id in sums))
    EXAM_STATISTICS.add(
        cursor,
        {(exam_id,): (each.n, each.score, each.score_squared) for exam_id, each in sums.items()},
        "n",
        "sum_score",
        "sum_score_squared",
    )
    ITEM_STATISTICS.add(
        cursor,
        {
            (exam_id, ordinal): amounts
            for exam_id, each in sums.items()
            for ordinal, amounts in each.amounts_by_item()
        },
        "n",
        "answered",
        "sum_item",
        "sum_item_squared",
        "sum_item_times_total",
    )
    OPTION_STATISTICS.add(
        cursor,
        {
            (exam_id, item_id, option): amounts
            for exam_id, each in sums.items()
            for item_id, options in each.options.items()
            for option, amounts in options.items()
        },
        "chosen",
        "sum_total",
    )
    SCORE_DISTRIBUTION.save_or_add(
        cursor,
        (
            {"exam_id": exam_id, "score": score, "examinees": examinees, **_owner(exams, exam_id)}
            for exam_id, each in sums.items()
            for score, examinees in each.by_score.items()
        ),
        "examinees",
    )


def _owner(exams: Rows, exam_id: str) -> Row:
    exam = exams.get(exam_id)
    if exam is None:
        raise RowMissing(exams.table_name, (exam_id,))
    return {"zone_id": exam["zone_id"], "org_id": exam["org_id"]}


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


def _noughts(*columns: str) -> dict[str, Any]:
    return dict.fromkeys(columns, 0)
