"""CSV files in: what is wrong in one is said with its file, row and column, before anything starts.

Row 1 is the line of column names. An empty cell and NA are a value that is missing.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.cli.console import CommandError

MISSING_MARKS: Final = frozenset({"", "NA"})


class TableError(CommandError):
    """A file cannot be used: names it, and the row and the column where there is one."""

    def __init__(
        self, file: Path, problem: str, *, row: int | None = None, name: str = "", column: str = ""
    ) -> None:
        place = [str(file)]
        if row is not None:
            place.append(f"row {row}" + (f" ({name})" if name else ""))
        if column:
            place.append(f"column {column}")
        super().__init__(f"{', '.join(place)}: {problem}.")


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file without the line of column names, stripped of blanks around them."""

    file: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def cells(self, column: str) -> tuple[str, ...]:
        at = self.columns.index(column)
        return tuple(row[at] for row in self.rows)

    def number(self, row: int, column: str) -> float | None:
        """A finite number, or None where the cell is empty. `row` counts from 0. Raises TableError."""
        return self.number_at(row, self.columns.index(column))

    def number_at(self, row: int, place: int) -> float | None:
        """As `number`, of the column in that place: for those who walk over all of them."""
        cell = self.rows[row][place]
        if cell in MISSING_MARKS:
            return None
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"{cell!r} is no number", row=row, column=self.columns[place])
        return value

    def error(self, problem: str, *, row: int, column: str = "") -> TableError:
        """`row` counts from 0; told as the file's own, under the name in the first column."""
        return TableError(self.file, problem, row=row + 2, name=self.rows[row][0], column=column)


def read_table(file: Path, first_column: str) -> Table:
    """A UTF-8 CSV file whose first column is `first_column` and names each row, once.

    Raises TableError where the file cannot be read, is empty, has a column without a name or one twice, a
    row with more or fewer cells than columns, or a row without a name or with one that was there before.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            lines = list(_lines(file, text))
    except OSError as error:
        raise TableError(file, f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TableError(file, "is not UTF-8 text") from error
    if not lines:
        raise TableError(file, "is empty")
    columns, rows = lines[0], lines[1:]
    _check_columns(file, columns, first_column)
    if not rows:
        raise TableError(file, "has no rows below the column names")
    names: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise TableError(file, f"{len(row)} cells under {len(columns)} columns", row=number)
        if not row[0]:
            raise TableError(file, "the name is missing", row=number, column=first_column)
        if names.setdefault(row[0], number) != number:
            raise TableError(file, f"{row[0]!r} stands in row {names[row[0]]} already", row=number)
    return Table(file, columns, tuple(rows))


def _lines(file: Path, text: Iterator[str]) -> Iterator[tuple[str, ...]]:
    reader = csv.reader(text, strict=True)
    try:
        for line in reader:
            if line:  # an empty line at the end is no row
                yield tuple(cell.strip() for cell in line)
    except csv.Error as error:
        raise TableError(file, f"is no CSV: {error}", row=reader.line_num) from error


def _check_columns(file: Path, columns: Sequence[str], first_column: str) -> None:
    if columns[0] != first_column:
        raise TableError(file, f"the first column is {columns[0]!r} and not {first_column!r}", row=1)
    seen: set[str] = set()
    for at, column in enumerate(columns):
        if not column:
            raise TableError(file, f"column {at + 1} has no name", row=1)
        if column in seen:
            raise TableError(file, "there are two columns of this name", row=1, column=column)
        seen.add(column)
