"""What is due by the clock, as the read models tell."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from commands.reactions.deadlines import DueAttempt
from domain.identifiers import StreamId
from infra.claims import Pool


class ReadModelDueWork:
    """`commands.reactions.deadlines.DueWork` over the read models.

    They may lag: what is found late is done late, what was done already is found once more and does
    nothing.
    """

    def __init__(self, pool: Pool, grace_s: float) -> None:
        self._pool = pool
        self._grace = timedelta(seconds=grace_s)

    async def attempts(self, now: datetime, limit: int) -> Sequence[DueAttempt]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                """SELECT attempt_id, exams.status IS NOT DISTINCT FROM 'closed' AS exam_closed
                   FROM read.attempts LEFT JOIN read.exams USING (exam_id)
                   WHERE attempts.status = 'in_progress'
                     AND (attempts.deadline + make_interval(secs => attempts.grace_s) < %s
                          OR exams.status = 'closed')
                   ORDER BY attempts.deadline, attempt_id LIMIT %s""",
                (now, limit),
            )
            return [
                DueAttempt(attempt_id, "teacher" if exam_closed else "clock")
                for attempt_id, exam_closed in await found.fetchall()
            ]

    async def exams(self, now: datetime, limit: int) -> Sequence[StreamId]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                """SELECT exam_id FROM read.exams WHERE status = 'published' AND closes_at < %s
                   ORDER BY closes_at, exam_id LIMIT %s""",
                (now - self._grace, limit),
            )
            return [str(exam_id) for (exam_id,) in await found.fetchall()]
