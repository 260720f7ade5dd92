"""Rosters as OneRoster 1.1 or 1.2 CSV: an archive of tables that name each other's rows.

Read are `manifest.csv`, `orgs.csv`, `users.csv` (in 1.2 also `roles.csv`), `classes.csv` and
`enrollments.csv`; `academicSessions.csv` is checked and otherwise left alone. Only bulk files are taken: they
say all there is.
See https://www.imsglobal.org/spec/oneroster/v1p2.
"""

import re
from collections.abc import Callable, Container, Iterator
from datetime import date
from functools import partial
from typing import Final, NamedTuple, TypeVar

from commands.roster.archive import unpacked
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
from commands.roster.tables import cells_by_column, decoded, table

_VERSIONS: Final = ("1.1", "1.2")
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "orgs.csv": ("sourcedId", "name", "type"),
    "users.csv": ("sourcedId", "givenName", "familyName"),
    "classes.csv": ("sourcedId", "title"),
    "enrollments.csv": ("classSourcedId", "userSourcedId", "role"),
}
_ROLES_CSV: Final = ("userSourcedId", "role")
_SESSIONS_CSV: Final = ("sourcedId", "title", "startDate", "endDate")
_FILES: Final = ("manifest.csv", *_NEEDED, "roles.csv", "academicSessions.csv")
_ROLES: Final[dict[str, RosterRole]] = {"student": "student", "teacher": "teacher"}
_EAST_ASIAN = re.compile("[\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7a3]")


T = TypeVar("T")


class _Row(NamedTuple):
    number: int
    cells: dict[str, str]

    def get(self, column: str) -> str:
        return self.cells.get(column, "").strip()


class _Person(NamedTuple):
    row: int
    display_name: str
    email: str | None
    role: RosterRole


def read_oneroster(body: bytes) -> Roster:
    """Raises `UnreadableRoster` where the archive itself is wrong; faults of rows are in the roster."""
    files = unpacked(body, _FILES)
    version = _version(files)
    return _Reader(files, version).roster()


def _version(files: dict[str, bytes]) -> str:
    """The version that the manifest names; everything that it promises is there, and in bulk."""
    if "manifest.csv" not in files:
        raise UnreadableRoster(reason="the archive has no manifest.csv")
    header, rows = table(decoded(files["manifest.csv"]))
    if header[:2] != ["propertyName", "value"]:
        raise UnreadableRoster(reason="manifest.csv does not have the columns propertyName and value")
    said = {row[0].strip(): row[1].strip() for _, row in rows if len(row) > 1}
    version = said.get("oneroster.version", "")
    if version not in _VERSIONS:
        raise UnreadableRoster(reason=f"manifest.csv names no version of {' or '.join(_VERSIONS)}")
    needed = [*_NEEDED, *(["roles.csv"] if version == "1.2" else [])]
    for name in needed:
        kind = said.get(f"file.{name.removesuffix('.csv')}", "bulk")
        if kind != "bulk":
            raise UnreadableRoster(
                reason=f"manifest.csv says that {name} is {kind[:20]!r}; it has to be 'bulk'"
            )
        if name not in files:
            raise UnreadableRoster(reason=f"the archive has no {name}")
    return version


class _Reader:
    def __init__(self, files: dict[str, bytes], version: str) -> None:
        self._files = files
        self._version = version
        self._faults: list[RowFault] = []
        self._skipped = 0
        self._rows = 0

    def roster(self) -> Roster:
        self._check_sessions()
        orgs = {row.get("sourcedId") for row in self._table("orgs.csv", _NEEDED["orgs.csv"])}
        roles = self._roles() if self._version == "1.2" else None
        people = self._people(orgs, roles)
        classes = self._classes(orgs)
        enrolled = self._enrolled(people, classes)
        return Roster(
            people=tuple(
                RosterPerson(
                    row=person.row,
                    external_ref=ref,
                    display_name=person.display_name,
                    role=person.role,
                    email=person.email,
                    classes=tuple(enrolled.get(ref, ())),
                )
                for ref, person in people.items()
                if person is not None
            ),
            classes={ref: title for ref, title in classes.items() if title is not None},
            faults=tuple(self._faults),
            rows=self._rows,
            skipped=self._skipped,
        )

    def _people(self, orgs: set[str], roles: dict[str, set[str]] | None) -> dict[str, _Person | None]:
        """By sourcedId; None for those who are none of ours, or wrong."""
        people: dict[str, _Person | None] = {}
        for row in self._table("users.csv", _NEEDED["users.csv"]):
            self._rows += 1
            ref = self._own_id("users.csv", row, people)
            if ref is None:
                continue
            people[ref] = None
            named = {row.get("role")} if roles is None else roles.get(ref, set())
            ours = sorted(_ROLES[each] for each in named & _ROLES.keys())
            if row.get("enabledUser").lower() == "false" or not ours:
                self._skipped += 1
                continue
            where = {each.strip() for each in row.get("orgSourcedIds").split(",")} - {""}
            if not where <= orgs:
                self._fault("users.csv", row, "orgSourcedIds", "unknown-org", "orgs.csv has no such row.")
                continue
            if len(ours) > 1:
                self._fault("users.csv", row, "role", "contradiction", "Student and teacher at once.")
                continue
            name = self._taken("users.csv", row, "familyName", partial(_name_of, row))
            email = self._taken("users.csv", row, "email", partial(email_of, row.get("email")))
            if name is not None and email is not None:
                people[ref] = _Person(row.number, name[0], email[0], ours[0])
        return people

    def _roles(self) -> dict[str, set[str]]:
        roles: dict[str, set[str]] = {}
        for row in self._table("roles.csv", _ROLES_CSV):
            roles.setdefault(row.get("userSourcedId"), set()).add(row.get("role"))
        return roles

    def _classes(self, orgs: set[str]) -> dict[str, str | None]:
        """Titles by sourcedId; None for those that are wrong."""
        classes: dict[str, str | None] = {}
        for row in self._table("classes.csv", _NEEDED["classes.csv"]):
            ref = self._own_id("classes.csv", row, classes)
            if ref is None:
                continue
            classes[ref] = None
            school = row.get("schoolSourcedId")
            if school and school not in orgs:
                self._fault("classes.csv", row, "schoolSourcedId", "unknown-org", "orgs.csv has no such row.")
                continue
            title = self._taken("classes.csv", row, "title", partial(clean, row.get("title"), 100))
            if title is not None:
                classes[ref] = title[0]
        return classes

    def _enrolled(
        self, people: dict[str, _Person | None], classes: dict[str, str | None]
    ) -> dict[str, dict[str, None]]:
        """Classes by person, in the order of the file."""
        enrolled: dict[str, dict[str, None]] = {}
        name = "enrollments.csv"
        for row in self._table(name, _NEEDED[name]):
            user, in_class = row.get("userSourcedId"), row.get("classSourcedId")
            if user not in people:
                self._fault(name, row, "userSourcedId", "unknown-user", "users.csv has no such row.")
            elif in_class not in classes:
                self._fault(name, row, "classSourcedId", "unknown-class", "classes.csv has no such row.")
            elif row.get("role") not in _ROLES:
                self._skipped += 1
            else:
                person = people[user]
                # Whose own row is wrong, or was passed over, needs no second fault.
                if person is None or classes[in_class] is None:
                    continue
                if person.role != _ROLES[row.get("role")]:
                    self._fault(name, row, "role", "contradiction", f"users.csv calls them a {person.role}.")
                else:
                    enrolled.setdefault(user, {})[in_class] = None
        return enrolled

    def _check_sessions(self) -> None:
        name = "academicSessions.csv"
        if name not in self._files:
            return
        for row in self._table(name, _SESSIONS_CSV):
            for column in ("startDate", "endDate"):
                try:
                    date.fromisoformat(row.get(column))
                except ValueError:
                    self._fault(name, row, column, "not-a-date", "A date is written 2026-03-02.")

    def _table(self, name: str, needed: tuple[str, ...]) -> Iterator[_Row]:
        """The rows that are to be there: others say that something was deleted."""
        try:
            header, rows = table(decoded(self._files[name]))
            _require_columns(header, needed)
            for number, row in rows:
                cells = cells_by_column(header, row)
                if cells is None:
                    detail = f"The row has {len(row)} cells, the header has {len(header)}."
                    self._fault(name, _Row(number, {}), "", "ragged-row", detail)
                elif cells.get("status", "").strip().lower() != "tobedeleted":
                    yield _Row(number, cells)
        except UnreadableRoster as error:
            raise UnreadableRoster(reason=f"{name}: {error.reason}") from None

    def _own_id(self, name: str, row: _Row, known: Container[str]) -> str | None:
        taken = self._taken(name, row, "sourcedId", partial(clean, row.get("sourcedId"), 100))
        if taken is None:
            return None
        if taken[0] in known:
            self._fault(name, row, "sourcedId", "duplicate", "Another row has this id.")
            return None
        return taken[0]

    def _taken(self, name: str, row: _Row, column: str, take: Callable[[], T]) -> tuple[T] | None:
        try:
            return (take(),)
        except BadCell as bad:
            self._fault(name, row, column, bad.code, bad.detail)
            return None

    def _fault(self, name: str, row: _Row, column: str, code: str, detail: str) -> None:
        self._faults.append(RowFault(file=name, row=row.number, column=column, code=code, detail=detail))


def _require_columns(header: list[str], needed: tuple[str, ...]) -> None:
    for column in needed:
        if header.count(column) != 1:
            raise UnreadableRoster(reason=f"it needs one column {column}")


def _name_of(row: _Row) -> str:
    """Family name first and unseparated where the name is written so; the other way round elsewhere."""
    family, given = row.get("familyName"), row.get("givenName")
    if _EAST_ASIAN.search(family + given):
        return clean(family + given, 100)
    return clean(f"{given} {family}", 100)
