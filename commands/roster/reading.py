"""Rosters as one table: a row for each person, or one for each class of a person.

Columns: `external_ref`, `display_name`, and as far as there are any `language`, `class`, `role`, `email`,
under English or Korean names. Rows of one person differ in the class alone.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from commands.roster.roster import (
    BadCell,
    Roster,
    RosterPerson,
    RosterRole,
    RowFault,
    UnreadableRoster,
    clean,
    email_of,
)
from commands.roster.tables import Encoding, cells_by_column, decoded, table
from domain.languages import Language

_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "external_ref": (
        "externalref",
        "externalid",
        "id",
        "studentid",
        "학번",
        "번호",
        "고유번호",
        "식별번호",
        "사번",
    ),
    "display_name": ("displayname", "name", "fullname", "이름", "성명"),
    "language": ("language", "lang", "언어"),
    "class": ("class", "classname", "반", "학급", "학급명", "반이름"),
    "role": ("role", "역할", "구분"),
    "email": ("email", "emailaddress", "mail", "이메일", "전자우편", "메일"),
}
_FIELD_OF: Final = {name: field for field, names in _COLUMNS.items() for name in names}
_ROLES: Final[dict[str, RosterRole]] = {
    "": "student",
    "student": "student",
    "학생": "student",
    "teacher": "teacher",
    "교사": "teacher",
    "교원": "teacher",
    "선생님": "teacher",
}
_LANGUAGE_NAMES: Final[dict[Language, str]] = {
    "ko": "ko korean 한국어",
    "en": "en english 영어",
    "ja": "ja japanese 일본어",
    "zh": "zh chinese 중국어",
}
_LANGUAGES: Final[dict[str, Language | None]] = {
    "": None,
    **{name: language for language, names in _LANGUAGE_NAMES.items() for name in names.split()},
}


def read_table(body: bytes, encoding: Encoding | None = None) -> Roster:
    """Raises `UnreadableRoster` where the table itself is wrong; faults of rows are in the roster."""
    header, rows = table(decoded(body, encoding))
    fields = _fields_of(header)
    people: dict[str, RosterPerson] = {}
    faults: list[RowFault] = []
    count = 0
    for number, row in rows:
        count += 1
        cells = cells_by_column(header, row)
        if cells is None:
            detail = f"The row has {len(row)} cells, the header has {len(header)}."
            faults.append(RowFault(row=number, column="", code="ragged-row", detail=detail))
            continue
        person = _person(number, {fields[name]: (name, cell) for name, cell in cells.items()}, faults)
        if person is not None:
            _add(people, person, fields, faults)
    classes = {each: each for person in people.values() for each in person.classes}
    return Roster(
        people=tuple(people.values()),
        classes=classes,
        faults=tuple(faults),
        rows=count,
        knows_classes="class" in fields.values(),
    )


def _fields_of(header: list[str]) -> dict[str, str]:
    """By the column's name in the file: which field it is."""
    fields: dict[str, str] = {}
    for column in header:
        field = _FIELD_OF.get(_plain(column))
        if field is None:
            raise UnreadableRoster(reason=f"column {column[:40]!r} is not known")
        if field in fields.values():
            raise UnreadableRoster(reason=f"column {column[:40]!r} stands twice")
        fields[column] = field
    for needed in ("external_ref", "display_name"):
        if needed not in fields.values():
            raise UnreadableRoster(reason=f"it has no column {needed!r}")
    return fields


def _plain(name: str) -> str:
    return "".join(each for each in name.casefold() if each not in " _-.")


def _person(number: int, cells: dict[str, tuple[str, str]], faults: list[RowFault]) -> RosterPerson | None:
    found: dict[str, Any] = {}
    right = True
    for field, take in _TAKE.items():
        column, cell = cells.get(field, ("", ""))
        try:
            found[field] = take(cell)
        except BadCell as bad:
            faults.append(RowFault(row=number, column=column, code=bad.code, detail=bad.detail))
            right = False
    if not right:
        return None
    in_class = found.pop("class")
    return RosterPerson(row=number, classes=(in_class,) if in_class else (), **found)


def _add(
    people: dict[str, RosterPerson], person: RosterPerson, fields: dict[str, str], faults: list[RowFault]
) -> None:
    """One more class of somebody who is there already, or somebody new."""
    first = people.setdefault(person.external_ref, person)
    if first is person:
        return
    column_of = {field: column for column, field in fields.items()}
    for field in ("display_name", "language", "role", "email"):
        if getattr(first, field) != getattr(person, field):
            detail = f"Row {first.row} says something else of the same person."
            fault = RowFault(
                row=person.row, column=column_of.get(field, ""), code="contradiction", detail=detail
            )
            faults.append(fault)
            return
    if not person.classes or person.classes[0] in first.classes:
        detail = f"Row {first.row} says this already."
        column = column_of["external_ref"]
        faults.append(RowFault(row=person.row, column=column, code="duplicate", detail=detail))
        return
    people[person.external_ref] = msgspec.structs.replace(first, classes=(*first.classes, *person.classes))


def _one_of(known: dict[str, Any], what: str) -> Callable[[str], Any]:
    def take(text: str) -> Any:
        try:
            return known[clean(text, 40, required=False).casefold()]
        except KeyError:
            raise BadCell(f"unknown-{what}", f"No {what} is called so.") from None

    return take


_TAKE: Final[dict[str, Callable[[str], Any]]] = {
    "external_ref": lambda text: clean(text, 100),
    "display_name": lambda text: clean(text, 100),
    "language": _one_of(_LANGUAGES, "language"),
    "class": lambda text: clean(text, 100, required=False),
    "role": _one_of(_ROLES, "role"),
    "email": email_of,
}
