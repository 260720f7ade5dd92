"""What each kind of asker sees, row by row, against the rules written down a second time.

The queries here ask for everything: what comes back is what row-level security lets through, whatever
a route forgets.
"""

import psycopg
import pytest
from psycopg.rows import dict_row

from infra.http.principal import Principal
from infra.postgres.roles import READER, role_conninfo
from tests.support.postgres import ROLE_SECRET

KEYS = {
    "people": ("user_id",),
    "item_banks": ("bank_id",),
    "item_versions": ("item_id", "item_version"),
    "item_keys": ("item_id", "item_version"),
    "exams": ("exam_id",),
    "exam_items": ("exam_id", "ordinal"),
    "adaptive_exams": ("exam_id",),
    "attempts": ("attempt_id",),
    "attempt_responses": ("attempt_id", "item_id"),
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
AUDITING = {"org_admin", "zone_admin", "sys_admin"}


class Rules:
    """Who may see which row, over all the rows there are."""

    def __init__(self, rows):
        self.rows = rows
        self._exams = {row["exam_id"]: row for row in rows["exams"]}

    def visible(self, asker: Principal, table: str) -> set[tuple]:
        return {
            tuple(row[column] for column in KEYS[table])
            for row in self.rows[table]
            if self._in_zone(asker, row)
            and (self._is_staff(asker, table, row) or self._opened(asker, table, row))
        }

    def _in_zone(self, asker, row):
        return row["zone_id"] == asker.zone_id or asker.has_role("sys_admin")

    def _is_staff(self, asker, table, row):
        roles = AUDITING if table == "audit_entries" else STAFF
        return any(grant.role in roles and grant.org_id in {None, row["org_id"]} for grant in asker.roles)

    def _opened(self, asker, table, row):  # noqa: PLR0911 - one answer for each table
        own = [each for each in self.rows["attempts"] if each["examinee_id"] == asker.subject_id]
        taken = {each["exam_id"] for each in own}
        scored = [each for each in own if each["status"] == "scored" and self._released(each)]
        released = {each["exam_id"] for each in scored}
        match table:
            case "exams":
                return row["status"] != "draft" and (
                    row["audience"] == "zone" or row["org_id"] in asker.org_ids or row["exam_id"] in taken
                )
            case "exam_items":
                # The pool of an adaptive exam is for its staff.
                return row["exam_id"] in taken and not self._is_adaptive(row["exam_id"])
            case "item_versions":
                return self._on_form(row, taken) or self._was_presented(row, own)
            case "item_keys":
                return self._on_form(row, released)
            case "scored_items":
                return row["examinee_id"] == asker.subject_id and self._released(row)
            case "attempt_abilities":
                return any(row["attempt_id"] == each["attempt_id"] for each in scored)
            case "attempt_steps":
                return False
            case _:
                # Statistics are of nobody, so of nobody but the staff; and so are audit entries.
                return asker.subject_id in {row.get("user_id"), row.get("examinee_id")}

    def _on_form(self, row, exams):
        return any(
            (each["item_id"], each["item_version"]) == (row["item_id"], row["item_version"])
            for each in self.rows["exam_items"]
            if each["exam_id"] in exams and not self._is_adaptive(each["exam_id"])
        )

    def _was_presented(self, row, attempts):
        return any(
            (each["item_id"], each["item_version"]) == (row["item_id"], row["item_version"])
            for each in self.rows["attempt_steps"]
            if each["attempt_id"] in {attempt["attempt_id"] for attempt in attempts}
        )

    def _is_adaptive(self, exam_id):
        return self._exams[exam_id]["delivery"] == "adaptive"

    def _released(self, row):
        exam = self._exams[row["exam_id"]]
        return (
            exam["results_released"]
            or exam["release"] == "at_once"
            or (exam["release"] == "after_closing" and exam["status"] == "closed")
        )


def seen(conninfo: str, asker: Principal | None, table: str) -> set[tuple]:
    reader = role_conninfo(conninfo, READER, ROLE_SECRET)
    with psycopg.connect(reader, row_factory=dict_row) as connection:
        if asker is not None:
            roles = [
                each.role if each.org_id is None else f"{each.role}@{each.org_id}" for each in asker.roles
            ]
            connection.execute(
                "SELECT set_config('app.user_id', %s, true), set_config('app.zone_id', %s, true),"
                " set_config('app.org_ids', %s, true), set_config('app.roles', %s, true)",
                [asker.subject_id, asker.zone_id, ",".join(asker.org_ids), ",".join(roles)],
            )
        rows = connection.execute(f"SELECT * FROM read.{table}").fetchall()
    return {tuple(row[column] for column in KEYS[table]) for row in rows}


def differences(conninfo: str, principals, tables=tuple(KEYS)) -> list[str]:
    with psycopg.connect(conninfo, row_factory=dict_row) as admin:
        rules = Rules({table: admin.execute(f"SELECT * FROM read.{table}").fetchall() for table in KEYS})
    return [
        f"{name} and {table}"
        for name, asker in principals.items()
        for table in tables
        if seen(conninfo, asker, table) != rules.visible(asker, table)
    ]


def test_every_table_of_the_read_schema_is_examined_here(school_database):
    with psycopg.connect(school_database) as admin:
        found = admin.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class"
            " WHERE relnamespace = 'read'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
        ).fetchall()
    assert dict(found) == dict.fromkeys(KEYS, True)


def test_everybody_sees_exactly_what_the_rules_say(school_database, principals):
    assert differences(school_database, principals) == []


def test_the_rules_leave_something_and_not_everything(school_database, principals):
    assert seen(school_database, principals["mina"], "item_keys")
    assert seen(school_database, principals["mina"], "scored_items") < seen(
        school_database, principals["teacher"], "scored_items"
    )
    assert seen(school_database, principals["idle"], "item_versions") == set()
    assert seen(school_database, principals["other teacher"], "attempts") == set()
    assert len(seen(school_database, principals["sys_admin"], "exams")) == 2


@pytest.mark.parametrize("table", KEYS)
def test_nobody_sees_nothing(school_database, table):
    assert seen(school_database, None, table) == set()


@pytest.mark.parametrize("table", KEYS)
def test_the_zone_wall_is_what_keeps_zones_apart(school_database, principals, table):
    """Without it the rules above are broken: the test watches, and the wall stands by itself."""
    with psycopg.connect(school_database, autocommit=True) as admin:
        admin.execute(f"ALTER POLICY zone_wall ON read.{table} USING (true)")
        try:
            assert differences(school_database, principals, [table]) != []
        finally:
            admin.execute(
                f"ALTER POLICY zone_wall ON read.{table} USING"
                " (zone_id = (SELECT read.asker_zone()) OR (SELECT read.asker_passes_zone_wall()))"
            )
    assert differences(school_database, principals, [table]) == []


OPENINGS = {
    "people": "oneself",
    "exams": "audience",
    "exam_items": "examinee",
    "item_versions": "examinee",
    "item_keys": "released",
    "attempts": "own",
    "attempt_responses": "own",
    "scored_items": "released",
    "attempt_abilities": "released",
}


@pytest.mark.parametrize("broken_to", ["true", "false"])
@pytest.mark.parametrize(("table", "policy"), [*OPENINGS.items(), *((table, "staff") for table in KEYS)])
def test_a_policy_that_is_too_wide_or_too_narrow_is_noticed(
    school_database, principals, table, policy, broken_to
):
    with psycopg.connect(school_database, autocommit=True) as admin:
        rule = admin.execute(
            "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy"
            " WHERE polrelid = format('read.%%I', %s::text)::regclass AND polname = %s",
            [table, policy],
        ).fetchone()[0]
        admin.execute(f"ALTER POLICY {policy} ON read.{table} USING ({broken_to})")
        try:
            assert differences(school_database, principals, [table]) != []
        finally:
            admin.execute(f"ALTER POLICY {policy} ON read.{table} USING ({rule})")
    assert differences(school_database, principals, [table]) == []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM read.attempts",
        "UPDATE read.attempts SET score = 100",
        "INSERT INTO read.item_banks VALUES ('b', 'univprep', 'o', 'n', 'd', now(), 1)",
        "SELECT * FROM log.events",
        "SELECT * FROM ops.projections",
        "SET ROLE megacity_owner",
        "SET row_security = off; SELECT * FROM read.attempts",
    ],
)
def test_the_reader_can_neither_write_nor_look_elsewhere(school_database, statement):
    reader = role_conninfo(school_database, READER, ROLE_SECRET)
    with psycopg.connect(reader, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_the_asker_does_not_outlive_the_transaction(school_database, principals):
    reader = role_conninfo(school_database, READER, ROLE_SECRET)
    with psycopg.connect(reader) as connection:
        connection.execute(
            "SELECT set_config('app.user_id', %s, true), set_config('app.zone_id', %s, true)",
            [principals["mina"].subject_id, "univprep"],
        )
        assert connection.execute("SELECT count(*) FROM read.attempts").fetchone()[0] > 0
        connection.commit()
        assert connection.execute("SELECT count(*) FROM read.attempts").fetchone()[0] == 0
