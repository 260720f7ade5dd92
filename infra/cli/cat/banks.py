"""Item banks as CSV: `item,a,b,c,d,content`, or `item,model,a,b1,b2,…,content` where the kinds differ."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from domain.cat.category_model import CategoryModel
from domain.cat.errors import InvalidItem
from domain.cat.items import GradedItems, LogisticItems, MixedItems, PartialCreditItems
from domain.cat.types import Floats, Ints
from infra.cli.cat.results import number, write_csv
from infra.cli.cat.tables import Table, TableError, read_table

LOGISTIC_MODELS: Final = ("1pl", "2pl", "3pl", "4pl")
POLYTOMOUS_MODELS: Final = ("grm", "gpcm", "pcm")
_THRESHOLD: Final = re.compile(r"b([1-9][0-9]*)")


@dataclass(frozen=True, eq=False)
class Bank:
    """A bank as its file has it: names and content areas (empty where there are none), in its order."""

    file: Path
    names: tuple[str, ...]
    items: CategoryModel
    content: tuple[str, ...]
    table: Table

    def __len__(self) -> int:
        return len(self.names)


def read_bank(file: Path) -> Bank:
    """Without a column `model` every item is logistic: `a`, `b`, and `c` and `d` where given (0 and 1).

    With it each is 1pl, 2pl, 3pl, 4pl (b in `b` or `b1`), grm, gpcm or pcm (`b1`, `b2`, … up to the last
    threshold of the item, the rest empty; pcm: `a` may be left out and is 1).

    Raises TableError, which names the row and the column.
    """
    table = read_table(file, "item")
    thresholds = [column for column in table.columns if _THRESHOLD.fullmatch(column)]
    _check_columns(table, thresholds)
    models = _models(table, thresholds)
    parts: list[LogisticItems | GradedItems | PartialCreditItems] = []
    places: list[Ints] = []
    for kinds in (LOGISTIC_MODELS, ("grm",), ("gpcm", "pcm")):
        rows = [row for row, model in enumerate(models) if model in kinds]
        if rows:
            with _told_by(table, rows):
                parts.append(_items_of(table, rows, models, thresholds))
            places.append(np.array(rows, dtype=np.int64))
    items: CategoryModel = parts[0] if len(parts) == 1 else MixedItems(tuple(parts), tuple(places))
    content = table.cells("content") if "content" in table.columns else ("",) * len(models)
    return Bank(file, table.cells("item"), items, content, table)


def write_bank(file: Path, names: Sequence[str], items: CategoryModel) -> None:
    """As `read_bank` reads it, every number with all its digits. Raises CommandError."""
    parts, rows = (
        (items.parts, items.rows) if isinstance(items, MixedItems) else ((items,), (np.arange(len(items)),))
    )
    if all(isinstance(part, LogisticItems) for part in parts):
        columns = ["item", "a", "b", "c", "d", "content"]
    else:
        thresholds = max(int(part.categories.max()) - 1 for part in parts)
        asymptotes = ["c", "d"] if any(isinstance(part, LogisticItems) for part in parts) else []
        columns = [
            "item",
            "model",
            "a",
            *(f"b{at}" for at in range(1, thresholds + 1)),
            *asymptotes,
            "content",
        ]
    lines: list[dict[str, str]] = [{} for _ in names]
    for part, own in zip(parts, rows, strict=True):
        for at, row in enumerate(own.tolist()):
            lines[row] = _line(part, at)
    cells = (
        [name, *(line.get(column, "") for column in columns[1:])]
        for name, line in zip(names, lines, strict=True)
    )
    write_csv(file, columns, cells)


def _line(part: CategoryModel, at: int) -> dict[str, str]:
    if isinstance(part, LogisticItems):
        given = {"a": part.a[at], "b": part.b[at], "b1": part.b[at], "c": part.c[at], "d": part.d[at]}
        return {"model": "4pl"} | {name: number(value) for name, value in given.items()}
    if isinstance(part, GradedItems | PartialCreditItems):
        thresholds = {f"b{step}": number(value) for step, value in enumerate(part.b[at].tolist(), start=1)}
        model = "grm" if isinstance(part, GradedItems) else "gpcm"
        return {"model": model, "a": number(part.a[at])} | thresholds
    raise TypeError(f"{type(part).__name__} have no place in a bank's file")


def _check_columns(table: Table, thresholds: list[str]) -> None:
    if "model" in table.columns:
        if not thresholds and "b" not in table.columns:
            raise TableError(table.file, "there is no column b1", row=1)
        expected = [f"b{number}" for number in range(1, len(thresholds) + 1)]
        for name in expected:
            if name not in thresholds:
                raise TableError(table.file, f"there is {thresholds[-1]} but no {name}", row=1)
        return
    for name in ("a", "b"):
        if name not in table.columns:
            raise TableError(table.file, f"there is no column {name}", row=1)


def _models(table: Table, thresholds: list[str]) -> tuple[str, ...]:
    if "model" not in table.columns:
        return ("4pl",) * len(table.rows)
    models = tuple(model.lower() for model in table.cells("model"))
    for row, model in enumerate(models):
        if model not in LOGISTIC_MODELS + POLYTOMOUS_MODELS:
            known = ", ".join(LOGISTIC_MODELS + POLYTOMOUS_MODELS)
            raise table.error(f"{model!r} is none of {known}", row=row, column="model")
        if model in POLYTOMOUS_MODELS and not thresholds:
            raise table.error(f"{model} needs the columns b1, b2, …", row=row)
    return models


def _items_of(
    table: Table, rows: list[int], models: tuple[str, ...], thresholds: list[str]
) -> LogisticItems | GradedItems | PartialCreditItems:
    kind = models[rows[0]]
    if kind in LOGISTIC_MODELS:
        a = _column(table, rows, "a", None if "model" not in table.columns else _one_where_1pl(models, rows))
        b = _column(table, rows, "b" if "b" in table.columns else "b1", None)
        c = _column(table, rows, "c", np.zeros(len(rows)))
        d = _column(table, rows, "d", np.ones(len(rows)))
        return LogisticItems(a, b, c, d)
    a = _column(table, rows, "a", np.array([1.0 if models[row] == "pcm" else np.nan for row in rows]))
    b = np.array([_thresholds(table, row, thresholds) for row in rows])
    used = int(np.isfinite(b).sum(axis=1).max())
    return GradedItems(a, b[:, :used]) if kind == "grm" else PartialCreditItems(a, b[:, :used])


def _one_where_1pl(models: tuple[str, ...], rows: list[int]) -> Floats:
    return np.array([1.0 if models[row] == "1pl" else np.nan for row in rows])


def _column(table: Table, rows: list[int], name: str, default: Floats | None) -> Floats:
    """Numbers of a column; `default` where a cell is empty or the column is not there (NaN: refused)."""
    found = np.full(len(rows), np.nan)
    for at, row in enumerate(rows):
        value = table.number(row, name) if name in table.columns else None
        if value is None and default is not None and not np.isnan(default[at]):
            value = float(default[at])
        if value is None:
            raise table.error("a number is missing", row=row, column=name)
        found[at] = value
    return found


def _thresholds(table: Table, row: int, columns: list[str]) -> list[float]:
    values = [table.number(row, f"b{number}") for number in range(1, len(columns) + 1)]
    count = next((at for at, value in enumerate(values) if value is None), len(values))
    if count == 0 or any(value is not None for value in values[count:]):
        raise table.error("a threshold is missing", row=row, column=f"b{count + 1}")
    return [np.nan if value is None else value for value in values]


@contextmanager
def _told_by(table: Table, rows: list[int]) -> Iterator[None]:
    """An item that is refused is named by its row in the file."""
    try:
        yield
    except InvalidItem as error:
        if error.row < 0:
            raise TableError(table.file, error.reason) from error
        raise table.error(error.reason, row=rows[error.row]) from error
