"""Constraints on a test form as CSV: `constraint,kind,column,value,low,high`."""

from pathlib import Path
from typing import Final

import numpy as np

from domain.cat.blueprint import (
    Blueprint,
    Constraint,
    CountBetween,
    Enemies,
    InvalidConstraint,
    SumBetween,
    Testlet,
)
from domain.cat.types import Floats, Ints
from infra.cli.cat.banks import Bank
from infra.cli.cat.tables import Table, TableError, read_table

KINDS: Final = ("count", "sum", "enemies", "testlet")


def blueprint_of(bank: Bank, length: int, constraints: Path | None) -> Blueprint:
    """A form of `length` items of the bank.

    Raises TableError, which names the row of the constraint; CatError where they do not make a blueprint.
    """
    found: list[Constraint] = []
    if constraints is not None:
        table = read_table(constraints, "constraint")
        for column in ("kind", "column"):
            if column not in table.columns:
                raise TableError(constraints, f"there is no column {column}", row=1)
        for row in range(len(table.rows)):
            try:
                found += _constraints(bank, table, row)
            except InvalidConstraint as error:
                raise table.error(error.reason, row=row) from error
    return Blueprint(len(bank), length, tuple(found))


def _constraints(bank: Bank, table: Table, row: int) -> list[Constraint]:
    name, kind, column = (table.cells(each)[row] for each in ("constraint", "kind", "column"))
    if kind not in KINDS:
        raise table.error(f"{kind!r} is none of {', '.join(KINDS)}", row=row, column="kind")
    if column not in bank.table.columns:
        raise table.error(f"{bank.file} has no column {column!r}", row=row, column="column")
    value = table.cells("value")[row] if "value" in table.columns else ""
    low, high = _limit(table, row, "low"), _limit(table, row, "high")
    if kind == "sum":
        return [
            SumBetween(
                name,
                _amounts(bank, column),
                -np.inf if low is None else low,
                np.inf if high is None else high,
            )
        ]
    counts = tuple(_whole(table, row, each) for each in ("low", "high"))
    if kind == "count":
        items = _items_with(bank, table, row, column, value)
        return [CountBetween(name, items, counts[0] or 0, counts[1])]
    values = [value] if value else sorted(set(bank.table.cells(column)) - {""})
    made: list[Constraint] = []
    for each in values:
        items = _items_with(bank, table, row, column, each)
        full_name = name if value else f"{name}:{each}"
        made.append(
            Enemies(full_name, items)
            if kind == "enemies"
            else Testlet(full_name, items, counts[0], counts[1])
        )
    return made


def _items_with(bank: Bank, table: Table, row: int, column: str, value: str) -> Ints:
    items = np.array(
        [at for at, cell in enumerate(bank.table.cells(column)) if cell == value], dtype=np.int64
    )
    if not items.size:
        raise table.error(
            f"no item of {bank.file} has {value!r} in the column {column}", row=row, column="value"
        )
    return items


def _amounts(bank: Bank, column: str) -> Floats:
    amounts = np.zeros(len(bank))
    for item in range(len(bank)):
        value = bank.table.number(item, column)
        if value is None:
            raise bank.table.error("a number is missing", row=item, column=column)
        amounts[item] = value
    return amounts


def _limit(table: Table, row: int, column: str) -> float | None:
    return table.number(row, column) if column in table.columns else None


def _whole(table: Table, row: int, column: str) -> int | None:
    value = _limit(table, row, column)
    if value is not None and value != int(value):
        raise table.error(f"{value:g} is no whole number", row=row, column=column)
    return None if value is None else int(value)
