"""Tables of text: from bytes in one of the encodings that schools use to rows of cells."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

from commands.roster.roster import MAX_ROWS, UnreadableRoster

Encoding: TypeAlias = Literal["utf-8", "cp949"]

MAX_COLUMNS: Final = 100
_BOM: Final = b"\xef\xbb\xbf"
_OTHER_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
_FIRST_OF_THREE_BYTES: Final = "\u0800"


def decoded(body: bytes, encoding: Encoding | None = None) -> str:
    """The text of a file: in the encoding that was said, or else in the one that it must be in.

    UTF-8 shows itself; what is no UTF-8 is CP949 (which EUC-KR is a part of). A few short texts are right in
    both, `é` among them: these are refused until the encoding is said, as a name that is silently another
    one is worse. Raises `UnreadableRoster`.
    """
    if body.startswith(_BOM):
        return _strictly(body.removeprefix(_BOM), "utf-8")
    if encoding is not None:
        return _strictly(body, encoding)
    if body.startswith(_OTHER_BOMS):
        raise UnreadableRoster(reason="it is UTF-16; save it as UTF-8 or CP949")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return _strictly(body, "cp949")
    # Hangul takes three bytes in UTF-8. What CP949 makes of Hangul never looks like three of them.
    if not text.isascii() and max(text) < _FIRST_OF_THREE_BYTES and _is(body, "cp949"):
        raise UnreadableRoster(reason="it can be UTF-8 or CP949; say which, or save it as UTF-8 with a mark")
    return text


def table(text: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header, and the rows that are not empty with their numbers as a spreadsheet counts them.

    Raises `UnreadableRoster`, also while the rows are gone through.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, None)
    except csv.Error as error:
        raise UnreadableRoster(reason=f"it is not CSV ({error})") from None
    if not header or not any(header):
        raise UnreadableRoster(reason="its first row names no columns")
    if len(header) > MAX_COLUMNS:
        raise UnreadableRoster(reason=f"it has more than {MAX_COLUMNS} columns")
    return [column.strip() for column in header], _rows(reader)


def _rows(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    count = 0
    try:
        for number, row in enumerate(reader, 2):
            if not any(cell.strip() for cell in row):
                continue
            count += 1
            if count > MAX_ROWS:
                raise UnreadableRoster(reason=f"it has more than {MAX_ROWS} rows")
            yield number, row
    except csv.Error as error:
        raise UnreadableRoster(reason=f"it is not CSV ({error})") from None


def _strictly(body: bytes, encoding: Encoding) -> str:
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        raise UnreadableRoster(reason="it is neither UTF-8 nor CP949, or not what was said") from None


def _is(body: bytes, encoding: Encoding) -> bool:
    try:
        body.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def cells_by_column(header: Sequence[str], row: Sequence[str]) -> dict[str, str] | None:
    """None for a row that has more or fewer cells than the header."""
    return dict(zip(header, row, strict=True)) if len(header) == len(row) else None
