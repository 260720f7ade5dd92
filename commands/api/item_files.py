"""Items from files: JSON as the API writes them, or CSV with one item a line.

CSV columns: `code kind content_area points key` and, where the kind needs them, `tolerance`,
`case_sensitive`, texts as `stem_ko stem_en …`, `explanation_ko …`, options as `option_1_ko option_1_en
option_2_ko …` (what stands after `option_` is the option's id), parameters as `a b c d`. Several keyed
options or accepted answers are separated by `|`. UTF-8, with or without a byte order mark.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from pydantic import TypeAdapter, ValidationError

from commands.api.item_bodies import ItemBody, ItemCode, content_of
from commands.import_items import ImportRow, RowError
from domain.errors import Malformed
from domain.languages import LANGUAGES

MAX_ROWS = 2000
MAX_COLUMNS = 500

_ITEM: TypeAdapter[Any] = TypeAdapter(ItemBody)
_CODE: TypeAdapter[str] = TypeAdapter(ItemCode)
_PLAIN_COLUMNS = frozenset(
    {"code", "kind", "content_area", "points", "key", "tolerance", "case_sensitive", "a", "b", "c", "d"}
)
_TEXT_COLUMN = re.compile(rf"(stem|explanation|option_([A-Za-z0-9.-]{{1,20}}))_({'|'.join(LANGUAGES)})")
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0", ""}


class UnreadableFile(Malformed):
    """The file as a whole cannot be read; `reason` says why."""

    code = "unreadable-file"
    title = "The file cannot be read"

    def detail(self) -> str:
        return f"The file cannot be read: {self.reason}."


def rows_from_json(document: Any) -> tuple[ImportRow, ...]:
    """Rows from `{"items": [...]}`; other members (a title, say) are passed over."""
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise UnreadableFile(reason='it is not an object with a list called "items"')
    return _rows(items, lambda item: item)


def rows_from_csv(body: bytes) -> tuple[ImportRow, ...]:
    """Rows from CSV; raises `UnreadableFile` where the table itself is wrong."""
    try:
        text = body.decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        # One line more than can be imported is enough to know; empty lines do not count.
        lines = list(islice((line for line in reader if any(line)), MAX_ROWS + 2))
    except UnicodeDecodeError:
        raise UnreadableFile(reason="it is not UTF-8") from None
    except csv.Error as error:
        raise UnreadableFile(reason=f"it is not CSV ({error})") from None
    if not lines:
        raise UnreadableFile(reason="it is empty")
    header = [column.strip() for column in lines[0]]
    if len(header) > MAX_COLUMNS:
        raise UnreadableFile(reason=f"it has more than {MAX_COLUMNS} columns")
    for column in header:
        if column not in _PLAIN_COLUMNS and _TEXT_COLUMN.fullmatch(column) is None:
            raise UnreadableFile(reason=f"column {column[:40]!r} is not known")
        if header.count(column) > 1:
            raise UnreadableFile(reason=f"column {column!r} stands twice")
    return _rows(lines[1:], lambda line: _item_of(header, line))


def _rows(raw: Sequence[Any], item_of: Callable[[Any], Any]) -> tuple[ImportRow, ...]:
    if not raw:
        raise UnreadableFile(reason="it has no rows")
    if len(raw) > MAX_ROWS:
        raise UnreadableFile(reason=f"it has more than {MAX_ROWS} rows")
    return tuple(_row(number, item_of(each)) for number, each in enumerate(raw, 1))


def _row(number: int, item: Any) -> ImportRow:
    if isinstance(item, RowError):
        return ImportRow(row=number, code=None, content=None, errors=(item,))
    if not isinstance(item, dict):
        error = RowError("", "not-an-object", "An item is a JSON object.")
        return ImportRow(row=number, code=None, content=None, errors=(error,))
    errors: list[RowError] = []
    code: str | None = None
    content = None
    try:
        code = _CODE.validate_python(item.get("code"))
    except ValidationError as error:
        errors += _row_errors(error, "/code")
    try:
        content = content_of(_ITEM.validate_python({key: item[key] for key in item if key != "code"}))
    except ValidationError as error:
        errors += _row_errors(error, "")
    return ImportRow(row=number, code=code, content=content, errors=tuple(errors))


def _row_errors(error: ValidationError, prefix: str) -> list[RowError]:
    kinds = {"multiple_choice", "multiple_response", "numeric", "short_text"}
    return [
        RowError(
            # Pydantic puts the kind into the path of a union's member; the file knows no such step.
            prefix + "".join(f"/{step}" for step in found["loc"] if step not in kinds),
            str(found["type"]).replace("_", "-"),
            found["msg"],
        )
        for found in error.errors(include_url=False, include_input=False)
    ]


def _item_of(header: list[str], line: list[str]) -> dict[str, Any] | RowError:
    if len(line) != len(header):
        return RowError("", "ragged-row", f"The row has {len(line)} cells, the header has {len(header)}.")
    cells = {column: cell.strip() for column, cell in zip(header, line, strict=True) if cell.strip()}
    item: dict[str, Any] = {name: cells[name] for name in ("code", "kind", "content_area") if name in cells}
    if "points" in cells:
        item["points"] = _number(cells["points"])
    options: dict[str, dict[str, str]] = {}
    for column, cell in cells.items():
        match = _TEXT_COLUMN.fullmatch(column)
        if match is None:
            continue
        field, option_id, language = match.groups()
        texts = item.setdefault(field, {}) if option_id is None else options.setdefault(option_id, {})
        texts[language] = cell
    if options:
        item["options"] = [{"id": option_id, "text": text} for option_id, text in options.items()]
    item["key"] = _key(cells)
    parameters = {name: _number(cells[name]) for name in "abcd" if name in cells}
    if parameters:
        item["irt"] = parameters
    return item


def _key(cells: dict[str, str]) -> dict[str, Any]:
    parts = [part.strip() for part in cells.get("key", "").split("|") if part.strip()]
    match cells.get("kind"):
        case "numeric":
            key: dict[str, Any] = {"value": cells.get("key", "")}
            if "tolerance" in cells:
                key["tolerance"] = cells["tolerance"]
            return key
        case "short_text":
            case_sensitive = cells.get("case_sensitive", "").lower()
            known = case_sensitive in _TRUE | _FALSE
            return {
                "accepted": parts,
                "case_sensitive": case_sensitive in _TRUE if known else case_sensitive,
            }
        case _:
            return {"options": parts}


def _number(cell: str) -> int | float | str:
    """The number in a cell; what is none is left as it is and refused with the rest of the row."""
    try:
        return int(cell) if re.fullmatch(r"[+-]?[0-9]{1,9}", cell) else float(cell)
    except ValueError:
        return cell
