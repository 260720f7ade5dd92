"""What row-level security costs: the list of 5,000 attempts as the teacher who drafted the exam asks for it,
beside the same query as the owner of the tables, whom no policy stops, with the conditions written out.

    figures = rls_cost(conninfo)
    figures.ratio
"""

from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from infra.http.principal import Principal, RoleGrant
from infra.postgres.roles import PROJECTOR, role_conninfo
from tests.support.postgres import ROLE_SECRET
from tests.support.visibility import be, reader

ATTEMPTS: Final = 5_000
TEACHER: Final = "user-019cabcd-0000-7000-8000-00000000beef"
ORG: Final = "organization-019cabcd-0000-7000-8000-00000000ffff"
EXAM: Final = "exam-019cabcd-0000-7000-8000-000000000001"
AIM: Final = 1.3

LIST: Final = """
    SELECT a.attempt_id, a.exam_id, a.examinee_id, p.display_name, a.ordinal, a.status, a.started_at,
           a.deadline, a.submitted_at, a.submitted_by, a.responses_given, a.version
    FROM read.attempts a LEFT JOIN read.people p ON p.user_id = a.examinee_id {people}
    WHERE a.exam_id = %(exam)s {attempts}
    ORDER BY a.attempt_id
"""
TAUGHT: Final = """
    SELECT m.org_id, m.user_id FROM read.class_members m
    WHERE m.part = 'student' AND m.class_id IN (
        SELECT c.class_id FROM read.class_members t JOIN read.classes c ON c.class_id = t.class_id
        WHERE t.user_id = %(teacher)s AND t.part = 'teacher' AND c.closed_at IS NULL AND EXISTS (
            SELECT FROM read.memberships held
            WHERE held.user_id = %(teacher)s AND held.role = 'teacher' AND held.org_id = t.org_id
        )
    )
"""
AUTHORED: Final = """
    SELECT e.exam_id FROM read.exams e
    WHERE e.author_id = %(teacher)s AND e.zone_id = 'univprep' AND EXISTS (
        SELECT FROM read.memberships held
        WHERE held.user_id = %(teacher)s AND held.role = 'teacher' AND held.org_id = e.org_id
    )
"""
WRITTEN_OUT: Final = LIST.format(
    people=f"""
        AND p.zone_id = 'univprep' AND (
            p.user_id = %(teacher)s
            OR p.user_id IN (
                SELECT taught.user_id FROM ({TAUGHT}) taught
                UNION ALL
                SELECT own.examinee_id FROM read.attempts own WHERE own.exam_id IN ({AUTHORED})
            )
        )
    """,
    attempts=f"""
        AND a.zone_id = 'univprep' AND (
            a.examinee_id = %(teacher)s
            OR (a.org_id, a.examinee_id) IN ({TAUGHT})
            OR a.exam_id IN ({AUTHORED})
        )
    """,
)
UNDER_POLICIES: Final = LIST.format(people="", attempts="")


@dataclass(frozen=True)
class RlsCost:
    """Medians in milliseconds; `attempts` is how many each of them returned."""

    attempts: int
    with_policies_ms: float
    written_out_ms: float

    @property
    def ratio(self) -> float:
        return self.with_policies_ms / self.written_out_ms


def rls_cost(admin_conninfo: str, *, rounds: int = 30) -> RlsCost:
    """Fills an empty database, and asks in turns: what the machine does meanwhile is in both."""
    _fill(admin_conninfo)
    teacher = Principal(
        subject_id=TEACHER, zone_id="univprep", roles=(RoleGrant("teacher", ORG),), session_id="bench"
    )
    parameters = {"exam": EXAM, "teacher": TEACHER}
    policies, written_out = [], []
    with reader(admin_conninfo) as asking, psycopg.connect(admin_conninfo, row_factory=dict_row) as owner:
        owner.execute("SET ROLE megacity_owner")
        be(asking, teacher)
        for _ in range(rounds):
            policies.append(_timed(asking, UNDER_POLICIES, parameters))
            written_out.append(_timed(owner, WRITTEN_OUT, parameters))
    [counts] = [{count for count, _ in policies + written_out}]
    assert counts == {ATTEMPTS}, counts
    return RlsCost(
        attempts=ATTEMPTS,
        with_policies_ms=1e3 * median(seconds for _, seconds in policies),
        written_out_ms=1e3 * median(seconds for _, seconds in written_out),
    )


def _timed(
    connection: psycopg.Connection[dict[str, Any]], statement: str, parameters: dict[str, Any]
) -> tuple[int, float]:
    begun = perf_counter()
    rows = connection.execute(statement, parameters, prepare=True).fetchall()  # type: ignore[arg-type]
    return len(rows), perf_counter() - begun


def _fill(admin_conninfo: str) -> None:
    """The exam with its 5,000 examinees among ten others, and a class of thirty."""
    with psycopg.connect(role_conninfo(admin_conninfo, PROJECTOR, ROLE_SECRET)) as connection:
        connection.execute(
            "INSERT INTO read.memberships VALUES (%s, 'teacher', %s, %s, 'univprep', now())",
            [TEACHER, ORG, ORG],
        )
        connection.execute(
            "INSERT INTO read.classes VALUES ('class-1', %s, 'univprep', '1-1', NULL, now(), NULL, 1)", [ORG]
        )
        connection.execute(
            """INSERT INTO read.class_members
               SELECT 'class-1', CASE n WHEN 0 THEN %s ELSE 'user-' || n END,
                   CASE n WHEN 0 THEN 'teacher' ELSE 'student' END, %s, 'univprep', now()
               FROM generate_series(0, 30) n""",
            [TEACHER, ORG],
        )
        connection.execute(
            """INSERT INTO read.people
               SELECT 'user-' || n, 'univprep', %s, 'Examinee ' || n, 'ko', NULL, '[]', now(), 1
               FROM generate_series(1, %s) n""",
            [ORG, ATTEMPTS],
        )
        connection.execute(
            """INSERT INTO read.exams (exam_id, zone_id, org_id, status, title, description, attempts_allowed,
                   release, audience, item_count, max_score, results_released, version, author_id)
               SELECT CASE e WHEN 0 THEN %s ELSE 'exam-' || e END, 'univprep', %s, 'published', '{}', '{}', 1,
                   'by_hand', 'organization', 1, 1, false, 1, CASE e WHEN 0 THEN %s ELSE 'user-somebody' END
               FROM generate_series(0, 10) e""",
            [EXAM, ORG, TEACHER],
        )
        connection.execute(
            """INSERT INTO read.attempts (attempt_id, exam_id, examinee_id, zone_id, org_id, ordinal, status,
                   started_at, grace_s, responses_given, version)
               SELECT 'attempt-' || e || '-' || n, CASE e WHEN 0 THEN %s ELSE 'exam-' || e END, 'user-' || n,
                   'univprep', %s, 1, 'submitted', now(), 5, 40, 42
               FROM generate_series(0, 10) e, generate_series(1, %s) n""",
            [EXAM, ORG, ATTEMPTS],
        )
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute("VACUUM ANALYZE")
