"""What a roster file says, whatever its format: people, classes, and what is wrong with single rows."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from domain.errors import Malformed
from domain.languages import Language

MAX_ROWS: Final = 50_000

RosterRole: TypeAlias = Literal["student", "teacher"]

_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")


class UnreadableRoster(Malformed):
    """The file as a whole cannot be read; `reason` says why."""

    code = "unreadable-roster"
    title = "The roster cannot be read"

    def detail(self) -> str:
        return f"The roster cannot be read: {self.reason}."


class RowFault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a row. Rows count as a spreadsheet does: the header is row 1.

    `file` names one of several in an archive; `column` is as the file calls it, empty for the row as a whole.
    """

    row: int
    column: str
    code: str
    detail: str
    file: str = ""


class RosterPerson(msgspec.Struct, frozen=True, kw_only=True):
    """`classes` are external ids. `language` is None where the file does not say."""

    row: int
    external_ref: str
    display_name: str
    role: RosterRole
    language: Language | None = None
    classes: tuple[str, ...] = ()
    email: str | None = None


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """What can be imported, and what cannot.

    Attributes:
        people: each external reference once.
        classes: their names, by external id; those without people too.
        faults: of rows that are not among the above.
        rows: how many rows told of people, good ones and bad ones.
        skipped: rows that are right and not for us, such as parents.
        knows_classes: whether the file says who is in which class at all.
    """

    people: tuple[RosterPerson, ...]
    classes: Mapping[str, str]
    faults: tuple[RowFault, ...]
    rows: int
    skipped: int = 0
    knows_classes: bool = True


class BadCell(Exception):
    """A cell cannot be taken as it is."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


def clean(text: str, max_length: int, *, required: bool = True) -> str:
    """The text in NFC and without outer spaces; else as it was: a formula is a text like any other.

    Raises `BadCell`.
    """
    if _FORBIDDEN.search(text):
        raise BadCell("unsafe-text", "Text must not hold control characters.")
    text = unicodedata.normalize("NFC", text).strip()
    if required and not text:
        raise BadCell("missing", "This is needed.")
    if len(text) > max_length:
        raise BadCell("too-long", f"At most {max_length} characters are taken here.")
    return text


def email_of(text: str) -> str | None:
    """Raises `BadCell`."""
    text = clean(text, 254, required=False)
    if not text:
        return None
    if not _EMAIL.fullmatch(text):
        raise BadCell("not-an-email", "This is no e-mail address.")
    return text
