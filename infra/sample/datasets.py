"""Real answers of real examinees: the LSAT 7 data, and any multiple-choice data given as two CSV files."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

NO_ANSWER = frozenset({"", "NA"})


class ResponseRow(msgspec.Struct, frozen=True):
    """One examinee's answers in the order of the items; None where nothing was answered."""

    examinee: str
    answers: tuple[str | None, ...]


class ResponseData(msgspec.Struct, frozen=True):
    """What a group of examinees answered; every item shares `options` and has one right option in `key`."""

    name: str
    title: str
    item_codes: tuple[str, ...]
    options: tuple[str, ...]
    key: dict[str, str]
    rows: tuple[ResponseRow, ...]


class MissingSamples(RuntimeError):
    """The optional package that holds the data set is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "The LSAT7 answers come with the optional package mirt, which is not installed. "
            "Get it with `uv sync --extra samples` or `pip install mirt`."
        )


class DatasetError(ValueError):
    """A data file cannot be used; says where (row 1 is the line of column names) and why."""

    def __init__(
        self, file: Path, problem: str, *, row: int | None = None, column: str | None = None
    ) -> None:
        self.file = file
        self.problem = problem
        self.row = row
        self.column = column
        place = [str(file)]
        if row is not None:
            place.append(f"row {row}")
        if column is not None:
            place.append(f"column {column}")
        super().__init__(f"{', '.join(place)}: {problem}")


def load_lsat7() -> ResponseData:
    """Section 7 of the Law School Admission Test: 1,000 examinees, 5 items; "1" is right, "0" is wrong.

    Source: Bock & Lieberman (1970), Psychometrika 35, 179-197, as distributed with the PyPI package `mirt`.
    Raises MissingSamples if that package is not installed.
    """
    try:
        import mirt
    except ModuleNotFoundError as error:
        if error.name != "mirt":  # the package is there but broken: its own message says more than ours
            raise
        raise MissingSamples from error

    source: dict[str, Any] = mirt.load_dataset("LSAT7")
    item_codes = tuple(str(name) for name in source["item_names"])
    return ResponseData(
        name="LSAT7",
        title="Law School Admission Test, section 7",
        item_codes=item_codes,
        options=("0", "1"),
        key=dict.fromkeys(item_codes, "1"),
        rows=tuple(
            ResponseRow(examinee=f"{number:04d}", answers=tuple(str(score) for score in scores))
            for number, scores in enumerate(source["data"].astype(int).tolist(), start=1)
        ),
    )


def load_responses(  # noqa: PLR0913 - two files are the input, the rest is optional and named
    responses_csv: Path,
    key_csv: Path,
    *,
    missing: frozenset[str] = NO_ANSWER,
    options: frozenset[str] | None = None,
    name: str | None = None,
    title: str | None = None,
) -> ResponseData:
    """Raw multiple-choice answers and their key, both UTF-8 CSV.

    `responses_csv` has the columns `examinee` and one per item; `key_csv` has the columns `item,key`.
    A cell whose value is in `missing` means that nothing was answered: nothing is guessed about it, so a
    file that marks it with 8 needs `missing=frozenset({"8"})`. Without `options`, every other value
    that occurs is an option; with `options`, any other value is refused.

    Raises DatasetError, which names file, row and column.
    """
    values = _Values(missing, options)
    item_codes, rows = _read_responses(responses_csv, values)
    key = _read_key(key_csv, item_codes, values)
    seen = {answer for row in rows for answer in row.answers if answer is not None}
    return ResponseData(
        name=name or responses_csv.stem,
        title=title or responses_csv.name,
        item_codes=item_codes,
        # The shorter value first, so that option 10 stands after option 9.
        options=tuple(sorted(options or seen | set(key.values()), key=lambda option: (len(option), option))),
        key={code: key[code] for code in item_codes},
        rows=rows,
    )


class _Values(msgspec.Struct, frozen=True):
    """Which cells mean something."""

    missing: frozenset[str]
    options: frozenset[str] | None

    def answer(self, cell: str, *, file: Path, row: int, column: str) -> str | None:
        if cell in self.missing:
            return None
        # An empty cell is never an option, even where the caller names another mark for "no answer".
        if cell and (self.options is None or cell in self.options):
            return cell
        marks = ", ".join(repr(mark) for mark in sorted(self.missing)) or "none"
        options = "" if self.options is None else f" ({', '.join(sorted(self.options))})"
        problem = f"{cell!r} is neither an option{options} nor a mark for no answer ({marks})"
        raise DatasetError(file, problem, row=row, column=column)


def _read_responses(file: Path, values: _Values) -> tuple[tuple[str, ...], tuple[ResponseRow, ...]]:
    table = _table(file)
    item_codes = _read_item_codes(file, *next(table))
    rows: dict[str, ResponseRow] = {}
    for row, (examinee, *cells) in table:
        if not examinee:
            raise DatasetError(file, "the examinee is not named", row=row, column="examinee")
        if examinee in rows:
            problem = f"examinee {examinee!r} stands here a second time"
            raise DatasetError(file, problem, row=row, column="examinee")
        answers = tuple(
            values.answer(cell, file=file, row=row, column=code)
            for code, cell in zip(item_codes, cells, strict=True)
        )
        rows[examinee] = ResponseRow(examinee=examinee, answers=answers)
    if not rows:
        raise DatasetError(file, "there are column names but no examinees")
    return item_codes, tuple(rows.values())


def _read_item_codes(file: Path, row: int, header: list[str]) -> tuple[str, ...]:
    first, *item_codes = header
    if first != "examinee":
        raise DatasetError(file, "the first column must be named `examinee`", row=row, column=first)
    if not item_codes:
        raise DatasetError(file, "there is no item column", row=row)
    for position, code in enumerate(item_codes, start=2):
        if not code:
            raise DatasetError(file, "this column has no name", row=row, column=str(position))
        if code in header[: position - 1]:
            raise DatasetError(file, "two columns have this name", row=row, column=code)
    return tuple(item_codes)


def _read_key(file: Path, item_codes: tuple[str, ...], values: _Values) -> dict[str, str]:
    table = _table(file)
    first_row, header = next(table)
    if header != ["item", "key"]:
        raise DatasetError(file, "the columns must be `item,key`", row=first_row)
    key: dict[str, str] = {}
    for row, (code, cell) in table:
        if code not in item_codes:
            raise DatasetError(
                file, f"item {code!r} is not a column of the responses", row=row, column="item"
            )
        if code in key:
            raise DatasetError(file, f"item {code!r} has a key already", row=row, column="item")
        option = values.answer(cell, file=file, row=row, column="key")
        if option is None:
            problem = f"the key of item {code!r} is {cell!r}, which means no answer"
            raise DatasetError(file, problem, row=row, column="key")
        key[code] = option
    without_key = [code for code in item_codes if code not in key]
    if without_key:
        raise DatasetError(file, f"no key for {', '.join(without_key)}", column="item")
    return key


def _table(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of each row, all as wide as the first; DatasetError if there is none."""
    try:
        # utf-8-sig: spreadsheets write a byte order mark, which would become part of the first column's name.
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(file, f"not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise DatasetError(file, f"cannot be read: {error.strerror}") from error

    width = 0
    # strict: an unclosed quote is an error, not one long cell.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if not cells:
                continue  # a blank line, as at the end of many files, says nothing
            width = width or len(cells)
            if len(cells) != width:
                raise DatasetError(
                    file, f"{len(cells)} cells where the first row has {width}", row=reader.line_num
                )
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DatasetError(file, f"not CSV: {error}", row=reader.line_num) from error
    if not width:
        raise DatasetError(file, "the file is empty")
