"""Questions about attempts and their results.

Scores are null in every answer until the asker may see them: staff once there are any, examinees once
the results of the exam are released.
"""

from typing import Any

from projections.queries import Connection, many, one


async def attempt(connection: Connection, attempt_id: str) -> dict[str, Any] | None:
    """The attempt; `result_visible` says whether the asker may see scores, key and explanations."""
    return await one(
        connection,
        """
        SELECT a.attempt_id, a.exam_id, a.examinee_id, a.ordinal, a.status, a.started_at, a.deadline,
               a.submitted_at, a.submitted_by, a.responses_given, a.version, visible.result AS result_visible,
               CASE WHEN visible.result THEN a.score END AS score,
               CASE WHEN visible.result THEN a.max_score END AS max_score
        FROM read.attempts a
        CROSS JOIN LATERAL (
            SELECT a.status = 'scored'
                   AND (read.asker_is_staff_of(a.org_id) OR read.results_are_released(a.exam_id)) AS result
        ) visible
        WHERE a.attempt_id = %s
        """,
        [attempt_id],
    )


async def responses(connection: Connection, attempt_id: str) -> dict[str, dict[str, Any]]:
    """The saved responses by item."""
    found = await many(
        connection,
        "SELECT item_id, response, sequence FROM read.attempt_responses WHERE attempt_id = %s",
        [attempt_id],
    )
    return {row["item_id"]: row for row in found}


async def item_results(connection: Connection, attempt_id: str) -> dict[str, dict[str, Any]]:
    """Score, key and explanation of each item; to be asked only where `result_visible` is true."""
    found = await many(
        connection,
        """
        SELECT s.item_id, s.score, s.max_score, k.key, k.explanation
        FROM read.scored_items s JOIN read.item_keys k USING (item_id, item_version)
        WHERE s.attempt_id = %s
        """,
        [attempt_id],
    )
    return {row["item_id"]: row for row in found}


async def attempts_at_exam(
    connection: Connection, exam_id: str, *, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """Attempts without scores, oldest first: for staff all of them, for examinees their own."""
    return await many(
        connection,
        """
        SELECT a.attempt_id, a.exam_id, a.examinee_id, p.display_name, a.ordinal, a.status, a.started_at,
               a.deadline, a.submitted_at, a.submitted_by, a.responses_given, a.version
        FROM read.attempts a LEFT JOIN read.people p ON p.user_id = a.examinee_id
        WHERE a.exam_id = %(exam)s AND (%(after)s::text IS NULL OR a.attempt_id > %(after)s)
        ORDER BY a.attempt_id LIMIT %(limit)s
        """,
        {"exam": exam_id, "after": after, "limit": limit},
    )


async def results(
    connection: Connection, exam_id: str, *, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """Scored attempts whose scores the asker may see, oldest first."""
    return await many(
        connection,
        """
        SELECT a.attempt_id, a.examinee_id, p.display_name, a.ordinal, a.score, a.max_score, a.submitted_at,
               a.scored_at
        FROM read.attempts a LEFT JOIN read.people p ON p.user_id = a.examinee_id
        WHERE a.exam_id = %(exam)s AND a.status = 'scored'
          AND (SELECT read.asker_is_staff_of(e.org_id) OR read.results_are_released(e.exam_id)
               FROM read.exams e WHERE e.exam_id = %(exam)s)
          AND (%(after)s::text IS NULL OR a.attempt_id > %(after)s)
        ORDER BY a.attempt_id LIMIT %(limit)s
        """,
        {"exam": exam_id, "after": after, "limit": limit},
    )


async def summary(connection: Connection, exam_id: str) -> dict[str, Any]:
    """How many attempts there are and how their scores lie. For staff: it counts what the asker sees."""
    found = await one(
        connection,
        """
        SELECT count(*) AS attempts,
               count(*) FILTER (WHERE status = 'in_progress') AS in_progress,
               count(*) FILTER (WHERE status = 'scored') AS scored,
               avg(score) AS mean_score, min(score) AS lowest_score, max(score) AS highest_score
        FROM read.attempts WHERE exam_id = %s
        """,
        [exam_id],
    )
    assert found is not None
    return found
