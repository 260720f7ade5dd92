"""What can be examined: item banks, items in all their versions, exams."""

from collections.abc import Sequence
from typing import ClassVar

from domain.events import Event, PositionedEvent, RecordedEvent
from domain.exams.events import ExamClosed, ExamDrafted, ExamPublished, ResultsReleased
from domain.items.events import ItemBankCreated, ItemCreated, ItemRevised
from projections.catalogue.tables import (
    ADAPTIVE_EXAMS,
    EXAM_ITEMS,
    EXAMS,
    ITEM_BANKS,
    ITEM_KEYS,
    ITEM_VERSIONS,
    adaptive_exam_rows,
    bank_row,
    blueprint_columns,
    exam_item_rows,
    exam_row,
    item_rows,
    item_version_of,
)
from projections.projection import Cursor
from projections.rows import Row, Rows, Table


class CatalogueProjection:
    """An item's key, explanation and parameters go to `read.item_keys` and nowhere else.

    But for parameters that an adaptive exam pins: they go with its items, which are for staff alone.
    """

    name: ClassVar[str] = "catalogue"
    version: ClassVar[int] = 3
    tables: ClassVar[tuple[str, ...]] = (
        "adaptive_exams",
        "exam_items",
        "exams",
        "item_keys",
        "item_versions",
        "item_banks",
    )
    event_types: ClassVar[tuple[type[Event], ...]] = (
        ItemBankCreated,
        ItemCreated,
        ItemRevised,
        ExamDrafted,
        ExamPublished,
        ExamClosed,
        ResultsReleased,
    )

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        recorded = [each.recorded for each in events if isinstance(each.recorded.event, self.event_types)]
        # Items before exams: a form's greatest score is the sum of its items' points. An item's
        # version never changes, so it does not matter that a batch's items are all written first.
        _apply_items(cursor, recorded)
        _apply_exams(cursor, [each for each in recorded if each.category == "exam"])


def _apply_items(cursor: Cursor, recorded: Sequence[RecordedEvent]) -> None:
    banks: list[Row] = []
    keys: list[Row] = []
    versions = ITEM_VERSIONS.load(
        cursor,
        (
            (each.stream_id, item_version_of(each.event) - 1)
            for each in recorded
            if isinstance(each.event, ItemRevised)
        ),
    )
    for each in recorded:
        match each.event:
            case ItemBankCreated() as event:
                banks.append(bank_row(each, event))
            case ItemCreated() | ItemRevised() as event:
                shown, kept_back = item_rows(each, event)
                if isinstance(event, ItemRevised):
                    versions.change(each.stream_id, event.item_version - 1, newest=False)
                versions.put(shown)
                keys.append(kept_back)
            case _:
                pass
    ITEM_BANKS.save(cursor, banks)
    versions.save(cursor)
    ITEM_KEYS.save(cursor, keys)


def _apply_exams(cursor: Cursor, recorded: Sequence[RecordedEvent]) -> None:
    exams = EXAMS.load(cursor, ((each.stream_id,) for each in recorded))
    forms: dict[str, list[Row]] = {}
    adaptive: dict[str, list[Row]] = {}
    for each in recorded:
        exam_id, at = each.stream_id, each.metadata.recorded_at
        match each.event:
            case ExamDrafted(blueprint=blueprint) | ExamPublished(blueprint=blueprint):
                exam = exams.get(exam_id) or exam_row(each)
                exams.put(exam | blueprint_columns(blueprint))
                forms[exam_id] = exam_item_rows(each, blueprint)
                adaptive[exam_id] = adaptive_exam_rows(each, blueprint)
                if isinstance(each.event, ExamPublished):
                    exams.change(exam_id, status="published", published_at=at)
                elif exam["drafted_at"] is None:
                    exams.change(exam_id, drafted_at=at)
            case ExamClosed():
                exams.change(exam_id, status="closed", closed_at=at)
            case ResultsReleased():
                exams.change(exam_id, results_released=True)
            case _:
                continue
        exams.change(exam_id, version=each.version)
    _sum_points(cursor, exams, forms)
    exams.save(cursor)
    _replace(cursor, EXAM_ITEMS, forms)
    _replace(cursor, ADAPTIVE_EXAMS, adaptive)


def _sum_points(cursor: Cursor, exams: Rows, forms: dict[str, list[Row]]) -> None:
    """The greatest score; an adaptive exam has none, as each of its tests is of other items."""
    fixed = {
        exam_id: form
        for exam_id, form in forms.items()
        if (exam := exams.get(exam_id)) is not None and exam["delivery"] == "fixed"
    }
    items = ITEM_VERSIONS.load(
        cursor, ((row["item_id"], row["item_version"]) for form in fixed.values() for row in form)
    )
    for exam_id in forms:
        exams.change(exam_id, max_score=None)
    for exam_id, form in fixed.items():
        max_score = 0
        for row in form:
            item = items.get(row["item_id"], row["item_version"])
            # An item that is not in the log is refused long before an exam names it.
            max_score += 0 if item is None else item["points"]
        exams.change(exam_id, max_score=max_score)


def _replace(cursor: Cursor, table: Table, by_exam: dict[str, list[Row]]) -> None:
    """A draft that is drafted anew keeps nothing of the earlier one."""
    if by_exam:
        table.delete(cursor, exam_id=sorted(by_exam))
        table.save(cursor, (row for rows in by_exam.values() for row in rows))
