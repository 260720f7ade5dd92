"""Questions about exams, item banks and items."""

from typing import Any

from projections.queries import Connection, many, one


async def exam(connection: Connection, exam_id: str) -> dict[str, Any] | None:
    """The exam, with `asks_as_staff` and `released` (whether examinees may see their results).

    `rules` and `pool_size` are those of an adaptive exam, and null for everybody but its staff.
    """
    return await one(
        connection,
        """
        SELECT e.*, read.asker_is_staff_of(e.org_id, e.zone_id) AS asks_as_staff,
               read.results_are_released(e.exam_id) AS released, r.rules, r.pool_size
        FROM read.exams e LEFT JOIN read.adaptive_exams r USING (exam_id)
        WHERE e.exam_id = %s
        """,
        [exam_id],
    )


async def exams(
    connection: Connection, *, status: str | None, before: str | None, limit: int
) -> list[dict[str, Any]]:
    """Newest first; ids are ordered by time. `pool_size` as in `exam`."""
    return await many(
        connection,
        """
        SELECT e.*, r.pool_size FROM read.exams e LEFT JOIN read.adaptive_exams r USING (exam_id)
        WHERE (%(status)s::text IS NULL OR status = %(status)s)
          AND (%(before)s::text IS NULL OR exam_id < %(before)s)
        ORDER BY exam_id DESC LIMIT %(limit)s
        """,
        {"status": status, "before": before, "limit": limit},
    )


async def exam_items(connection: Connection, exam_id: str) -> list[dict[str, Any]]:
    """The form in its order, with what an examinee sees of each item; of an adaptive exam the pool.

    `parameters` are those that an adaptive exam pins. Nobody but its staff gets any row of that.
    """
    return await many(
        connection,
        """
        SELECT i.ordinal, i.item_id, i.item_version, i.parameters, v.code, v.kind, v.content_area, v.points,
               v.public
        FROM read.exam_items i JOIN read.item_versions v USING (item_id, item_version)
        WHERE i.exam_id = %s ORDER BY i.ordinal
        """,
        [exam_id],
    )


async def item_banks(connection: Connection, *, before: str | None, limit: int) -> list[dict[str, Any]]:
    return await many(
        connection,
        """
        SELECT * FROM read.item_banks
        WHERE %(before)s::text IS NULL OR bank_id < %(before)s
        ORDER BY bank_id DESC LIMIT %(limit)s
        """,
        {"before": before, "limit": limit},
    )


async def item_bank(connection: Connection, bank_id: str) -> dict[str, Any] | None:
    """The bank with the number of its items."""
    return await one(
        connection,
        """
        SELECT b.*, (
            SELECT count(*) FROM read.item_versions v WHERE v.bank_id = b.bank_id AND v.newest
        ) AS items
        FROM read.item_banks b WHERE b.bank_id = %s
        """,
        [bank_id],
    )


async def items_of_bank(
    connection: Connection, bank_id: str, *, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """Each item in its newest version, without its key, in the order in which the items were made."""
    return await many(
        connection,
        """
        SELECT * FROM read.item_versions
        WHERE bank_id = %(bank)s AND newest AND (%(after)s::text IS NULL OR item_id > %(after)s)
        ORDER BY item_id LIMIT %(limit)s
        """,
        {"bank": bank_id, "after": after, "limit": limit},
    )


async def item_with_key(
    connection: Connection, item_id: str, item_version: int | None
) -> dict[str, Any] | None:
    """The item in this version, or in its newest; only for those who may see its key."""
    return await one(
        connection,
        """
        SELECT v.*, k.key, k.explanation, k.irt
        FROM read.item_versions v JOIN read.item_keys k USING (item_id, item_version)
        WHERE v.item_id = %(item)s
          AND CASE WHEN %(version)s::bigint IS NULL THEN v.newest ELSE v.item_version = %(version)s END
        """,
        {"item": item_id, "version": item_version},
    )
