"""Rosters over HTTP: who may, what a file does, what is refused, and what the next read shows."""

import psycopg
import pytest

from infra.http.principal import RoleGrant
from tests.support.api import eventually, refusal
from tests.support.rosters import KOREAN, a_table, archive, csv_text, oneroster_files

ROWS = [
    ("2026-01", "김민지", "ko", "1-A", "학생", ""),
    ("2026-02", "똠방각하", "", "1-A", "", ""),
    ("t-1", "박하준", "", "1-A", "교사", "hj@example.org"),
]


def sent(person, org_id, body, media_type="text/csv", **query):
    return person.http.post(
        f"/organizations/{org_id}/roster-imports",
        content=body,
        params=query,
        headers={"Content-Type": media_type},
    )


def imported(person, org_id, body, media_type="text/csv", **query):
    answer = sent(person, org_id, body, media_type, **query)
    assert answer.status_code == 200, answer.text
    return answer


def counts(answer):
    report = answer.json()
    return [report[each] for each in ("created", "updated", "unchanged", "removed")]


def names_in(api, org_id):
    with psycopg.connect(api.database.admin_conninfo) as connection:
        found = connection.execute(
            """SELECT p.display_name, c.name, m.part
               FROM read.class_members m
               JOIN read.classes c USING (class_id) JOIN read.people p USING (user_id)
               WHERE m.org_id = %s ORDER BY p.display_name, c.name""",
            [org_id],
        )
        return found.fetchall()


def everything(api):
    with psycopg.connect(api.database.admin_conninfo) as connection:
        return connection.execute(
            # But for what the walls count of themselves, now and then.
            "SELECT (SELECT count(*) FROM log.events WHERE stream_id NOT LIKE 'observation-%'),"
            " (SELECT count(*) FROM ops.claims)"
        ).fetchone()


@pytest.mark.parametrize(
    ("encoding", "media_type"),
    [
        ("utf-8", "text/csv"),
        ("utf-8-sig", "text/csv"),
        ("cp949", "text/csv"),
        ("cp949", "text/csv; charset=euc-kr"),
        ("utf-8", 'text/csv; header=present; charset="UTF-8"'),
    ],
)
def test_korean_names_are_intact_in_each_encoding(api, school, admin, encoding, media_type):
    body = csv_text(KOREAN, ROWS).encode(encoding)
    answer = imported(admin, school.org_id, body, media_type)
    assert counts(answer) == [3, 0, 0, 0]
    # The last thing written is in what is read next, and so is all before it.
    token = {"Consistency-Token": answer.headers["Consistency-Token"]}
    shown = admin.http.get(f"/organizations/{school.org_id}/classes", headers=token)
    assert "1-A" in shown.text
    shown = [
        ("김민지", "1-A", "student"),
        ("똠방각하", "1-A", "student"),
        ("박하준", "1-A", "teacher"),
    ]
    eventually(lambda: names_in(api, school.org_id) == shown)
    assert counts(imported(admin, school.org_id, body, media_type)) == [0, 0, 3, 0]


def test_a_dry_run_reports_and_writes_nothing(api, school, admin):
    before = everything(api)
    answer = imported(admin, school.org_id, csv_text(KOREAN, ROWS).encode(), dry_run=True)
    assert (answer.json()["dry_run"], counts(answer)) == (True, [3, 0, 0, 0])
    assert "Consistency-Token" not in answer.headers
    assert everything(api) == before


def test_wrong_rows_are_told_and_right_ones_count(school, admin):
    rows = [("1", "민지", "A"), ("", "누구", "A"), ("3", "지우")]
    report = imported(admin, school.org_id, a_table(*rows)).json()
    assert (report["created"], report["rows"], report["withheld"]) == (1, 3, True)
    assert [(each["row"], each["column"], each["code"]) for each in report["faults"]] == [
        (3, "external_ref", "missing"),
        (4, "", "ragged-row"),
    ]


def test_more_faults_than_can_be_listed_are_counted(school, admin):
    body = a_table(*[("", "누구", "A")] * 1_003)
    report = imported(admin, school.org_id, body).json()
    assert (len(report["faults"]), report["faults_left_out"]) == (1_000, 3)


def test_whoever_leaves_a_class_or_the_school_is_gone_at_the_next_read(api, school, admin):
    imported(admin, school.org_id, a_table(("1", "민지", "A"), ("2", "서연", "A"), ("3", "지우", "A")))
    eventually(lambda: len(names_in(api, school.org_id)) == 3)
    answer = imported(
        admin, school.org_id, a_table(("1", "민지", "B"), ("2", "서연", "A")), remove_absent=True
    )
    assert counts(answer) == [0, 1, 1, 1]
    # No consistency token and no waiting: it was answered when it was so.
    assert [row for row in names_in(api, school.org_id) if row[1] == "A"] == [("서연", "A", "student")]


def test_an_archive_of_one_roster_is_imported(school, admin):
    answer = imported(admin, school.org_id, archive(oneroster_files("1.2")), "application/zip")
    assert (counts(answer), answer.json()["skipped"]) == ([4, 0, 0, 0], 1)
    assert (
        imported(admin, school.org_id, archive(oneroster_files("1.1")), "application/zip").json()["unchanged"]
        == 4
    )


def test_a_program_imports_and_removes_nobody(school):
    _, program = school.service()
    assert counts(imported(program, school.org_id, a_table(("1", "민지", "A")))) == [1, 0, 0, 0]
    refused = sent(program, school.org_id, a_table(("2", "서연", "A")), remove_absent=True)
    assert refusal(refused) == (403, "removal-not-yours")


def test_nobody_else_imports(api, school, admin):
    body = a_table(("1", "민지", "A"))
    before = everything(api)[0]
    other = api.school("Another school")
    strangers = [other.admin(), other.service()[1]]
    made = everything(api)[0] - before
    for stranger in strangers:
        assert refusal(sent(stranger, school.org_id, body)) == (404, "organization-not-found")
    for person in (school.teacher, api.person()):
        assert refusal(sent(person, school.org_id, body)) == (403, "role-required")
    assert refusal(sent(admin, "organization-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f", body))[0] == 404
    # A token that names a role which the person does not hold opens nothing.
    nobody = api.person()
    forged = api.client(api.token(nobody.user_id, RoleGrant("org_admin", school.org_id)))
    nobody.http = forged
    assert refusal(sent(nobody, school.org_id, body)) == (404, "organization-not-found")
    assert everything(api)[0] == before + made + 2  # the two people that this test has made


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"", "text/csv"),
        (b"\xff\xff", "text/csv"),
        (b"id,name\n", "text/csv; charset=klingon"),
        (b"PK\x05\x06", "application/zip"),
        (b"id,name\n1,x\n", "application/zip"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(school, admin, body, media_type):
    assert refusal(sent(admin, school.org_id, body, media_type)) == (422, "unreadable-roster")


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", ""])
def test_a_file_of_another_kind_is_refused(school, admin, media_type):
    answer = sent(admin, school.org_id, b"id,name\n1,x\n", media_type)
    assert refusal(answer) == (415, "unsupported-media-type")


def test_a_file_larger_than_other_bodies_is_taken(school, admin):
    rows = [(str(number), "민" * 100, "가" * 90 + str(number % 20)) for number in range(2_000)]
    body = a_table(*rows)
    assert len(body) > 1024 * 1024
    assert counts(imported(admin, school.org_id, body, dry_run=True)) == [2_000, 0, 0, 0]


def test_the_same_request_again_gets_the_same_answer(school, admin):
    def once():
        return admin.http.post(
            f"/organizations/{school.org_id}/roster-imports",
            content=a_table(("1", "민지", "A")),
            headers={"Content-Type": "text/csv", "Idempotency-Key": f"roster-{school.org_id}"},
        )

    first, second = once(), once()
    assert counts(first) == counts(second) == [1, 0, 0, 0]
    assert second.headers["Idempotency-Replayed"] == "true"
