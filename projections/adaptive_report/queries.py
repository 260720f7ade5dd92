"""The attempts at an adaptive exam with all their steps, a portion at a time."""

from collections.abc import AsyncIterator
from typing import Any, Final

import numpy as np

from domain.cat.types import Floats
from projections.adaptive_report.tally import Portion
from projections.queries import Connection, many, one

ATTEMPTS_AT_ONCE: Final = 1_000
_STEP_BYTES: Final = 4


async def adaptive_exam(connection: Connection, exam_id: str) -> dict[str, Any] | None:
    """The exam with `asks_as_staff`; None where the asker may not know of it."""
    return await one(
        connection,
        """
        SELECT e.exam_id, e.title, e.status, e.delivery, e.bank_id, e.bank_version, adaptive.rules,
               read.asker_is_staff_of(e.org_id, e.zone_id) AS asks_as_staff
        FROM read.exams e LEFT JOIN read.adaptive_exams adaptive USING (exam_id)
        WHERE e.exam_id = %s
        """,
        [exam_id],
    )


async def pool(connection: Connection, exam_id: str) -> list[dict[str, Any]]:
    """The items in their order, with the parameters that were pinned when the exam was published."""
    return await many(
        connection,
        """
        SELECT i.ordinal, i.item_id, i.item_version, v.code, v.content_area AS area, i.parameters
        FROM read.exam_items i LEFT JOIN read.item_versions v USING (item_id, item_version)
        WHERE i.exam_id = %s ORDER BY i.ordinal
        """,
        [exam_id],
    )


async def attempts_not_scored(connection: Connection, exam_id: str) -> int:
    found = await one(
        connection,
        "SELECT count(*) AS n FROM read.attempts WHERE exam_id = %s AND status <> 'scored'",
        [exam_id],
    )
    assert found is not None
    return int(found["n"])


async def path(connection: Connection, exam_id: str, attempt_id: str) -> list[dict[str, Any]]:
    """The steps of one attempt at the exam, in order, each with the attempt's prior and its end."""
    return await many(
        connection,
        """
        SELECT s.step, s.pretest, s.is_right, s.theta, s.se, v.code, i.parameters,
               found.prior_mean, found.prior_sd, found.stop_reason
        FROM read.attempt_abilities found
        JOIN read.attempt_steps s USING (attempt_id)
        LEFT JOIN read.exam_items i
            ON i.exam_id = found.exam_id AND i.item_id = s.item_id AND i.item_version = s.item_version
        LEFT JOIN read.item_versions v ON v.item_id = s.item_id AND v.item_version = s.item_version
        WHERE found.exam_id = %s AND found.attempt_id = %s ORDER BY s.step
        """,
        [exam_id, attempt_id],
    )


async def portions(
    connection: Connection, exam_id: str, *, attempts_at_once: int = ATTEMPTS_AT_ONCE
) -> AsyncIterator[Portion]:
    """All scored attempts, by id. No more than a portion is held at a time, however many there are.

    Each portion is asked for by itself, so that no statement takes long; the transaction sees one snapshot.
    """
    after = ""
    while rows := await _endings(connection, exam_id, after, attempts_at_once):
        after = rows[-1]["attempt_id"]
        yield _portion(rows, await _steps(connection, exam_id, [row["attempt_id"] for row in rows]))


async def _endings(connection: Connection, exam_id: str, after: str, limit: int) -> list[dict[str, Any]]:
    return await many(
        connection,
        """
        SELECT a.attempt_id, a.examinee_id, found.theta, found.se, found.items_counted, found.prior_mean,
               found.prior_sd, found.stop_reason,
               extract(epoch FROM a.submitted_at - a.started_at)::float8 AS duration_s
        FROM read.attempts a JOIN read.attempt_abilities found USING (attempt_id)
        WHERE a.exam_id = %s AND a.status = 'scored' AND a.attempt_id > %s
        ORDER BY a.attempt_id LIMIT %s
        """,
        [exam_id, after, limit],
    )


async def _steps(
    connection: Connection, exam_id: str, attempt_ids: list[str]
) -> dict[str, tuple[bytes, bytes, bytes]]:
    """Of each attempt: places in the pool, answers and seconds, as packed numbers.

    A row for each step would cost fifty times as much to read.
    """
    cursor = await connection.execute(
        """
        SELECT s.attempt_id,
               string_agg(int4send(i.ordinal::int4), ''::bytea ORDER BY s.step) AS ordinals,
               string_agg(int4send(coalesce(s.is_right::int4, -1)), ''::bytea ORDER BY s.step) AS answers,
               string_agg(
                   float4send(coalesce(extract(epoch FROM s.responded_at - s.presented_at), 'NaN')::float4),
                   ''::bytea ORDER BY s.step
               ) AS seconds
        FROM read.attempt_steps s
        JOIN read.exam_items i
            ON i.exam_id = s.exam_id AND i.item_id = s.item_id AND i.item_version = s.item_version
        WHERE s.attempt_id = ANY (%s::text[]) AND s.exam_id = %s
        GROUP BY s.attempt_id
        """,
        [attempt_ids, exam_id],
        binary=True,
    )
    return {
        row["attempt_id"]: (row["ordinals"], row["answers"], row["seconds"])
        for row in await cursor.fetchall()
    }


def _portion(rows: list[dict[str, Any]], steps: dict[str, tuple[bytes, bytes, bytes]]) -> Portion:
    packed = [steps.get(row["attempt_id"], (b"", b"", b"")) for row in rows]
    ordinals, answers, seconds = (b"".join(parts) for parts in zip(*packed, strict=True))
    return Portion(
        attempt_ids=tuple(row["attempt_id"] for row in rows),
        examinee_ids=tuple(row["examinee_id"] for row in rows),
        stop_reasons=tuple(row["stop_reason"] for row in rows),
        theta=_floats(rows, "theta"),
        se=_floats(rows, "se"),
        length=np.array([row["items_counted"] for row in rows], dtype=np.int64),
        prior_mean=_floats(rows, "prior_mean"),
        prior_sd=_floats(rows, "prior_sd"),
        duration_s=_floats(rows, "duration_s"),
        steps=np.array([len(each) // _STEP_BYTES for each, _, _ in packed], dtype=np.int64),
        ordinals=np.frombuffer(ordinals, dtype=">i4").astype(np.int64),
        answers=np.frombuffer(answers, dtype=">i4").astype(np.int64),
        seconds=np.frombuffer(seconds, dtype=">f4").astype(np.float32),
    )


def _floats(rows: list[dict[str, Any]], column: str) -> Floats:
    return np.array([row[column] for row in rows], dtype=np.float64)
