"""Response matrices and groups as CSV: `examinee`, then one column per item; `examinee,group`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domain.cat.errors import InvalidItem, InvalidResponse
from domain.cat.types import MISSING, Ints
from infra.cli.cat.banks import Bank
from infra.cli.cat.tables import MISSING_MARKS, Table, TableError, read_table


@dataclass(frozen=True, eq=False)
class Responses:
    """`values` (n, m): categories from 0, `MISSING` where nothing was given."""

    file: Path
    examinees: tuple[str, ...]
    names: tuple[str, ...]
    values: Ints


def read_responses(file: Path, *, most: int | None = None) -> Responses:
    """All items of the file. `most`: the highest category that may occur, 1 for right and wrong.

    Raises TableError.
    """
    table = read_table(file, "examinee")
    names = table.columns[1:]
    if not names:
        raise TableError(file, "there is no column of an item", row=1)
    values = _values(table)
    if most is not None:
        _refuse_above(table, values, np.full(len(names), most + 1))
    return Responses(file, table.cells("examinee"), names, values)


def read_responses_to(bank: Bank, file: Path) -> Responses:
    """Responses to a bank's items, in the bank's order; an item without a column was given to nobody.

    Raises TableError where a column is no item of the bank, or a response no category of its item.
    """
    table = read_table(file, "examinee")
    at = {name: place for place, name in enumerate(bank.names)}
    names = table.columns[1:]
    for name in names:
        if name not in at:
            raise TableError(file, f"there is no item {name!r} in {bank.file}", row=1, column=name)
    if not names:
        raise TableError(file, "there is no column of an item", row=1)
    places = np.array([at[name] for name in names])
    read = _values(table)
    _refuse_above(table, read, bank.items.categories[places])
    values = np.full((len(table.rows), len(bank)), MISSING, dtype=np.int64)
    values[:, places] = read
    return Responses(file, table.cells("examinee"), bank.names, values)


def read_groups(file: Path, responses: Responses) -> Ints:
    """The group of each examinee of `responses`, in their order: 0 reference, 1 focal. Raises TableError."""
    table = read_table(file, "examinee")
    if "group" not in table.columns:
        raise TableError(file, "there is no column group", row=1)
    found: dict[str, int] = {}
    for row, (examinee, group) in enumerate(zip(table.cells("examinee"), table.cells("group"), strict=True)):
        if group not in {"0", "1"}:
            raise table.error(f"{group!r} is neither 0 (reference) nor 1 (focal)", row=row, column="group")
        found[examinee] = int(group)
    for row, examinee in enumerate(responses.examinees):
        if examinee not in found:
            raise TableError(
                responses.file, f"there is no group of this examinee in {file}", row=row + 2, name=examinee
            )
    return np.array([found[examinee] for examinee in responses.examinees], dtype=np.int64)


@contextmanager
def columns_told(given: Responses) -> Iterator[None]:
    """An item or a response that is refused is named by its place in the file."""
    try:
        yield
    except InvalidItem as error:
        if error.row < 0:
            raise TableError(given.file, error.reason) from error
        raise TableError(given.file, error.reason, column=given.names[error.row]) from error
    except InvalidResponse as error:
        if error.row < 0:
            raise TableError(given.file, error.reason) from error
        raise TableError(
            given.file,
            error.reason,
            row=error.row + 2,
            name=given.examinees[error.row],
            column=given.names[error.column],
        ) from error


def _values(table: Table) -> Ints:
    known = {str(category): category for category in range(10)} | dict.fromkeys(MISSING_MARKS, MISSING)
    values = np.empty((len(table.rows), len(table.columns) - 1), dtype=np.int64)
    for number, row in enumerate(table.rows):
        try:
            values[number] = [known[cell] for cell in row[1:]]
        except KeyError:
            values[number] = [_category(table, number, place) for place in range(1, len(row))]
    return values


def _category(table: Table, row: int, place: int) -> int:
    value = table.number_at(row, place)
    if value is None:
        return MISSING
    if value < 0 or value != int(value):
        raise table.error(f"{table.rows[row][place]!r} is no category", row=row, column=table.columns[place])
    return int(value)


def _refuse_above(table: Table, values: Ints, categories: Ints) -> None:
    wrong = values >= categories
    if wrong.any():
        row, place = (int(at) for at in np.argwhere(wrong)[0])
        highest = int(categories[place]) - 1
        raise table.error(
            f"{int(values[row, place])} is none of the categories 0 to {highest} of this item",
            row=row,
            column=table.columns[place + 1],
        )
