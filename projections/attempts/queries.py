"""Questions about attempts and their results.

Scores are null in every answer until the asker may see them: who teaches or administers once there are any,
examinees and their parents once the results of the exam are released. Row-level security says so: what is not
to be seen has no row in `read.attempt_scores`.
"""

from typing import Any

from projections.queries import Connection, many, one


async def attempt(connection: Connection, attempt_id: str) -> dict[str, Any] | None:
    """The attempt; `result_visible` says whether the asker may see scores, key and explanations."""
    return await one(
        connection,
        """
        SELECT a.attempt_id, a.exam_id, a.examinee_id, a.ordinal, a.status, a.started_at, a.deadline,
               a.submitted_at, a.submitted_by, a.responses_given, a.version, a.adaptive,
               s.attempt_id IS NOT NULL AS result_visible, s.score, s.max_score
        FROM read.attempts a LEFT JOIN read.attempt_scores s USING (attempt_id)
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


async def presented_items(connection: Connection, attempt_id: str) -> list[dict[str, Any]]:
    """The items of an adaptive attempt as far as they were presented, with what an examinee sees of each.

    `ordinal` is the step. The last one waits for an answer, unless it has one.
    """
    return await many(
        connection,
        """
        SELECT p.step AS ordinal, v.item_id, v.item_version, v.code, v.kind, v.content_area, v.points,
               v.public
        FROM (
            SELECT s.step, s.item_id, s.item_version FROM read.attempt_steps s
            WHERE s.attempt_id = %(attempt)s
            UNION
            SELECT o.step, o.item_id, o.item_version FROM read.asker_presented_items() o
            WHERE o.attempt_id = %(attempt)s
        ) p JOIN read.item_versions v USING (item_id, item_version)
        ORDER BY p.step
        """,
        {"attempt": attempt_id},
    )


async def steps(connection: Connection, attempt_id: str) -> list[dict[str, Any]]:
    """What the engine knew at each step of an adaptive attempt; for others than staff there is nothing."""
    return await many(
        connection,
        """
        SELECT step, item_id, item_version, pretest, presented_at, responded_at, theta_before, is_right,
               theta, se
        FROM read.attempt_steps WHERE attempt_id = %s ORDER BY step
        """,
        [attempt_id],
    )


async def ability(connection: Connection, attempt_id: str) -> dict[str, Any] | None:
    """What an adaptive attempt has found: for staff as it stands, for examinees once it is released."""
    return await one(connection, "SELECT * FROM read.attempt_abilities WHERE attempt_id = %s", [attempt_id])


async def item_results(connection: Connection, attempt_id: str) -> dict[str, dict[str, Any]]:
    """Score, key and explanation of each item; to be asked only where `result_visible` is true.

    Of an adaptive attempt only the items that counted have a score, and the examinee is shown key and
    explanation where the exam's rules say so. Staff see the keys of their organisation's items.
    """
    found = await many(
        connection,
        """
        SELECT s.item_id, s.score, s.max_score,
               CASE WHEN whole.form THEN k.key ELSE shown.key END AS key,
               CASE WHEN whole.form THEN k.explanation ELSE shown.explanation END AS explanation
        FROM read.scored_items s
        -- An item may be on the form of a fixed exam too: what is released there is not shown here.
        CROSS JOIN (
            SELECT NOT a.adaptive OR read.asker_is_staff_of(a.org_id, a.zone_id) AS form
            FROM read.attempts a WHERE a.attempt_id = %(attempt)s
        ) whole
        LEFT JOIN read.item_keys k USING (item_id, item_version)
        LEFT JOIN read.shown_keys(%(attempt)s) shown USING (item_id, item_version)
        WHERE s.attempt_id = %(attempt)s
        """,
        {"attempt": attempt_id},
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
    """Scored attempts whose scores the asker may see, oldest first; adaptive ones with ability."""
    return await many(
        connection,
        """
        SELECT a.attempt_id, a.examinee_id, p.display_name, a.ordinal, s.score, s.max_score, a.submitted_at,
               a.scored_at, a.adaptive, b.theta, b.se, b.stop_reason, b.category, b.items_counted
        FROM read.attempts a
        JOIN read.attempt_scores s ON s.exam_id = %(exam)s AND s.attempt_id = a.attempt_id
        LEFT JOIN read.people p ON p.user_id = a.examinee_id
        LEFT JOIN read.attempt_abilities b ON b.attempt_id = a.attempt_id
        WHERE a.exam_id = %(exam)s
          AND (%(after)s::text IS NULL OR a.attempt_id > %(after)s)
        ORDER BY a.attempt_id LIMIT %(limit)s
        """,
        {"exam": exam_id, "after": after, "limit": limit},
    )


async def summary(connection: Connection, exam_id: str) -> dict[str, Any]:
    """How many attempts there are and how their scores lie. For staff: it counts what the asker sees.

    Scores of adaptive attempts are of different items, so of those abilities are summed up instead.
    """
    found = await one(
        connection,
        """
        SELECT count(*) AS attempts,
               count(*) FILTER (WHERE status = 'in_progress') AS in_progress,
               count(*) FILTER (WHERE status = 'scored') AS scored,
               avg(s.score) FILTER (WHERE NOT adaptive) AS mean_score,
               min(s.score) FILTER (WHERE NOT adaptive) AS lowest_score,
               max(s.score) FILTER (WHERE NOT adaptive) AS highest_score,
               avg(b.theta) FILTER (WHERE status = 'scored') AS mean_theta,
               stddev_samp(b.theta) FILTER (WHERE status = 'scored') AS sd_theta,
               avg(b.se) FILTER (WHERE status = 'scored') AS mean_se,
               avg(b.items_counted) FILTER (WHERE status = 'scored') AS mean_items
        FROM read.attempts a
        LEFT JOIN read.attempt_scores s ON s.exam_id = %(exam)s AND s.attempt_id = a.attempt_id
        LEFT JOIN read.attempt_abilities b ON b.exam_id = %(exam)s AND b.attempt_id = a.attempt_id
        WHERE a.exam_id = %(exam)s
        """,
        {"exam": exam_id},
    )
    assert found is not None
    return found
