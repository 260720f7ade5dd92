"""Who may see which row, said a second time and in Python: what row-level security is held against.

    Rules(rows).visible(asker, "attempts")

`rows` are all the rows there are. What somebody sees is what everybody sees of their own, and what each role
shows that they still hold, added up: two roles never show more than each of them.
"""

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.rows import dict_row

from infra.http.principal import Principal, RoleGrant
from infra.postgres.roles import READER, role_conninfo
from tests.support.postgres import ROLE_SECRET

Row = dict[str, Any]
Rows = dict[str, list[Row]]

KEYS: dict[str, tuple[str, ...]] = {
    "accounts": ("user_id",),
    "memberships": ("user_id", "role", "place"),
    "organizations": ("org_id",),
    "classes": ("class_id",),
    "class_members": ("class_id", "user_id", "part"),
    "parent_links": ("link_id",),
    "people": ("user_id",),
    "item_banks": ("bank_id",),
    "item_versions": ("item_id", "item_version"),
    "item_keys": ("item_id", "item_version"),
    "exams": ("exam_id",),
    "exam_items": ("exam_id", "ordinal"),
    "adaptive_exams": ("exam_id",),
    "attempts": ("attempt_id",),
    "attempt_responses": ("attempt_id", "item_id"),
    "attempt_scores": ("attempt_id",),
    "scored_items": ("attempt_id", "item_id"),
    "attempt_abilities": ("attempt_id",),
    "attempt_steps": ("attempt_id", "step"),
    "analysis_items": ("item_id", "item_version"),
    "exam_statistics": ("exam_id",),
    "item_statistics": ("exam_id", "ordinal"),
    "option_statistics": ("exam_id", "item_id", "option"),
    "score_distribution": ("exam_id", "score"),
    "audit_entries": ("position",),
    "bank_scales": ("bank_id",),
    "calibrations": ("calibration_id",),
    "calibrated_items": ("calibration_id", "ordinal"),
    "promoted_items": ("bank_id", "bank_version", "item_id"),
    "drift_alarms": ("calibration_id", "ordinal"),
}
STAFF = {"teacher", "tutor", "org_admin", "service"}
OF_THE_STAFF = {
    *("item_banks", "item_versions", "item_keys", "exams", "exam_items", "adaptive_exams", "analysis_items"),
    *("exam_statistics", "item_statistics", "option_statistics", "score_distribution", "bank_scales"),
    *("calibrations", "calibrated_items", "promoted_items", "drift_alarms"),
}
OF_PEOPLE = {
    *("attempts", "attempt_responses", "attempt_scores", "scored_items", "attempt_abilities"),
    "attempt_steps",
}


class Rules:
    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._exams = {row["exam_id"]: row for row in rows["exams"]}
        self._attempts = {row["attempt_id"]: row for row in rows["attempts"]}
        self._exam_of = {row["attempt_id"]: row["exam_id"] for row in rows["attempts"]}
        self._held = {
            (row["user_id"], row["role"], row["org_id"], row["zone_id"]) for row in rows["memberships"]
        }
        self._gone = {row["user_id"] for row in rows["accounts"] if not row["active"]}

    def visible(self, asker: Principal, table: str) -> set[tuple[Any, ...]]:
        if asker.subject_id in self._gone:
            return set()
        held = [grant for grant in asker.roles if self._holds(asker, grant)]
        looks = [_Look(self, asker, None), *(_Look(self, asker, grant) for grant in held)]
        return {
            tuple(row[column] for column in KEYS[table])
            for row in self.rows[table]
            if any(look.finds(table, row) for look in looks)
        }

    def released(self, exam_id: str) -> bool:
        exam = self._exams[exam_id]
        running = any(
            row["exam_id"] == exam_id and row["status"] == "in_progress" for row in self.rows["attempts"]
        )
        return (
            exam["results_released"]
            or exam["release"] == "at_once"
            or (exam["release"] == "after_closing" and exam["status"] == "closed" and not running)
        )

    def is_fixed(self, exam_id: str) -> bool:
        return self._exams[exam_id]["delivery"] == "fixed"

    def exam_of(self, row: Row) -> str:
        return row.get("exam_id") or self._exam_of[row["attempt_id"]]

    def author_of(self, exam_id: str) -> str | None:
        return self._exams[exam_id]["author_id"]

    def org_of(self, exam_id: str) -> str | None:
        return self._exams[exam_id]["org_id"]

    def _holds(self, asker: Principal, grant: RoleGrant) -> bool:
        return asker.subject_id.startswith("client-") or (
            (asker.subject_id, grant.role, grant.org_id, asker.zone_id) in self._held
        )


class _Look:
    """What one role shows; without a role: what is one's own."""

    def __init__(self, rules: Rules, asker: Principal, grant: RoleGrant | None) -> None:
        self.rules = rules
        self.me = asker.subject_id
        self.zone_id = asker.zone_id
        self.role = None if grant is None else grant.role
        self.org_id = None if grant is None else grant.org_id
        self.everywhere = self.role == "sys_admin" and self.org_id is None
        rows = rules.rows
        children = {
            row["student_id"]
            for row in rows["parent_links"]
            if row["parent_id"] == self.me and row["status"] == "approved"
        }
        self.examinees = {self.me} | children
        self.own = [row for row in rows["attempts"] if row["examinee_id"] in self.examinees]
        self.own_ids = {row["attempt_id"] for row in self.own}
        self.taken = {row["exam_id"] for row in self.own}
        self.results = [
            row for row in self.own if row["status"] == "scored" and rules.released(row["exam_id"])
        ]
        self.result_ids = {row["attempt_id"] for row in self.results}
        self.forms = self._items_of(self.taken)
        self.opened_forms = self._items_of({row["exam_id"] for row in self.results})
        self.presented = {
            (row["item_id"], row["item_version"])
            for row in rows["attempt_steps"]
            if row["attempt_id"] in self.own_ids and (self.everywhere or row["zone_id"] == self.zone_id)
        }
        self.classes, self.students = self._taught()

    def finds(self, table: str, row: Row) -> bool:
        if self.everywhere:
            return table in {"audit_entries", "organizations"} or self._is_own(table, row)
        if row["zone_id"] != self.zone_id:
            return False
        return self._is_own(table, row) if self.role is None else self._shows(table, row)

    def _is_own(self, table: str, row: Row) -> bool:  # noqa: PLR0911 - one answer for each table
        match table:
            case "attempts" | "attempt_responses" | "people":
                return row.get("examinee_id", row.get("user_id")) in self.examinees
            case "attempt_scores" | "scored_items" | "attempt_abilities":
                return row["attempt_id"] in self.result_ids
            case "exams":
                return row["status"] != "draft" and (
                    row["audience"] == "zone" or row["exam_id"] in self.taken
                )
            case "exam_items":
                return row["exam_id"] in self.taken and self.rules.is_fixed(row["exam_id"])
            case "item_versions":
                return (row["item_id"], row["item_version"]) in self.forms | self.presented
            case "item_keys":
                return (row["item_id"], row["item_version"]) in self.opened_forms
            case "accounts" | "memberships" | "class_members":
                return row["user_id"] == self.me
            case "parent_links":
                return self.me in {row["parent_id"], row["student_id"]}
            case _:
                return False

    def _shows(self, table: str, row: Row) -> bool:  # noqa: PLR0911 - one answer for each kind of table
        if table in OF_THE_STAFF and self._works_for(row["org_id"], *STAFF):
            return True
        if table in OF_PEOPLE:
            return self._works_for(row["org_id"], "org_admin", "service") or self._teaches(row)
        match table:
            case "exams":
                return (self.role == "zone_admin" and self.org_id is None) or (
                    row["status"] != "draft" and self.org_id is not None and row["org_id"] == self.org_id
                )
            case "organizations":
                return (
                    (self.org_id is not None and row["org_id"] == self.org_id)
                    or self._works_for(row["org_id"], *STAFF)
                    or (self.role == "zone_admin" and self.org_id is None)
                )
            case "memberships" | "class_members" | "classes":
                return (
                    self._works_for(row["org_id"], "org_admin", "service")
                    or row.get("class_id") in self.classes
                    or (table == "classes" and self._attends(row))
                )
            case "people":
                return self._knows(row["user_id"])
            case "audit_entries":
                return self._works_for(row["org_id"], "org_admin") or (
                    self.role == "zone_admin" and self.org_id is None
                )
            case _:
                return False

    def _works_for(self, org_id: str | None, *roles: str) -> bool:
        return self.role in roles and (self.org_id is None or self.org_id == org_id)

    def _teaches(self, row: Row) -> bool:
        if (row["org_id"], row["examinee_id"]) in self.students:
            return True
        return self._drafted(self.rules.exam_of(row))

    def _drafted(self, exam_id: str) -> bool:
        exam = self.rules._exams[exam_id]
        return (
            exam["author_id"] == self.me
            and exam["zone_id"] == self.zone_id
            and self._works_for(exam["org_id"], "teacher", "tutor", "org_admin")
        )

    def _knows(self, user_id: str) -> bool:
        if self.role in {"org_admin", "service"}:
            members = self.rules.rows["memberships"]
            if self.org_id is None or any(
                (self.org_id, user_id) == (m["org_id"], m["user_id"]) for m in members
            ):
                return True
        return user_id in {student for _, student in self.students} or any(
            row["examinee_id"] == user_id and self._drafted(row["exam_id"])
            for row in self.rules.rows["attempts"]
        )

    def _attends(self, row: Row) -> bool:
        return self._works_for(row["org_id"], "student") and any(
            (member["class_id"], member["user_id"], member["part"]) == (row["class_id"], self.me, "student")
            for member in self.rules.rows["class_members"]
        )

    def _taught(self) -> tuple[set[str], set[tuple[str | None, str]]]:
        members = self.rules.rows["class_members"]
        open_ids = {row["class_id"] for row in self.rules.rows["classes"] if row["closed_at"] is None}
        classes = {
            row["class_id"]
            for row in members
            if row["user_id"] == self.me
            and row["part"] == "teacher"
            and row["class_id"] in open_ids
            and self._works_for(row["org_id"], "teacher", "tutor")
        }
        students = {
            (row["org_id"], row["user_id"])
            for row in members
            if row["class_id"] in classes and row["part"] == "student"
        }
        return classes, students

    def _items_of(self, exams: Iterable[str]) -> set[tuple[str, int]]:
        fixed = {exam_id for exam_id in exams if self.rules.is_fixed(exam_id)}
        return {
            (row["item_id"], row["item_version"])
            for row in self.rules.rows["exam_items"]
            if row["exam_id"] in fixed
        }


def all_rows(conninfo: str) -> Rows:
    """Everything there is, as the superuser reads it."""
    with psycopg.connect(conninfo, row_factory=dict_row) as admin:
        return {table: admin.execute(f"SELECT * FROM read.{table}").fetchall() for table in KEYS}


def reader(conninfo: str) -> psycopg.Connection[Row]:
    return psycopg.connect(role_conninfo(conninfo, READER, ROLE_SECRET), row_factory=dict_row)


def be(connection: psycopg.Connection[Row], asker: Principal) -> None:
    """From here to the end of the transaction this one asks."""
    roles = [each.role if each.org_id is None else f"{each.role}@{each.org_id}" for each in asker.roles]
    connection.execute(
        "SELECT set_config('app.user_id', %s, true), set_config('app.zone_id', %s, true),"
        " set_config('app.org_ids', %s, true), set_config('app.roles', %s, true)",
        [asker.subject_id, asker.zone_id, ",".join(asker.org_ids), ",".join(roles)],
    )


def keys_in(connection: psycopg.Connection[Row], table: str) -> set[tuple[Any, ...]]:
    columns = ", ".join(KEYS[table])
    found = connection.execute(f"SELECT {columns} FROM read.{table}").fetchall()
    return {tuple(row.values()) for row in found}


def seen(conninfo: str, asker: Principal | None, table: str) -> set[tuple[Any, ...]]:
    with reader(conninfo) as connection:
        if asker is not None:
            be(connection, asker)
        return keys_in(connection, table)


def differences(
    conninfo: str, principals: dict[str, Principal], tables: Iterable[str] = tuple(KEYS)
) -> list[str]:
    rules = Rules(all_rows(conninfo))
    wanted = list(tables)
    found = []
    with reader(conninfo) as connection:
        for name, asker in principals.items():
            with connection.transaction():
                be(connection, asker)
                for table in wanted:
                    rows, expected = keys_in(connection, table), rules.visible(asker, table)
                    if rows != expected:
                        found.append(
                            f"{name} and {table}: {len(rows - expected)} more, {len(expected - rows)} less"
                        )
    return found
