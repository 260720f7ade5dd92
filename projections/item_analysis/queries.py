"""The sums of an exam, ready for `projections.item_analysis.statistics`."""

from collections import defaultdict

from projections.item_analysis.statistics import ExamSums, ItemSums, OptionSums
from projections.queries import Connection, many, one


async def exam_sums(connection: Connection, exam_id: str) -> ExamSums | None:
    """None where there is no such exam, it is not published, or the asker is not on its staff."""
    exam = await one(connection, "SELECT * FROM read.exam_statistics WHERE exam_id = %s", [exam_id])
    if exam is None:
        return None
    options = await _options(connection, exam_id)
    items = await many(
        connection, "SELECT * FROM read.item_statistics WHERE exam_id = %s ORDER BY ordinal", [exam_id]
    )
    distribution = await many(
        connection, "SELECT score, examinees FROM read.score_distribution WHERE exam_id = %s", [exam_id]
    )
    return ExamSums(
        n=exam["n"],
        max_score=int(exam["max_score"]),
        sum_score=int(exam["sum_score"]),
        sum_score_squared=int(exam["sum_score_squared"]),
        items=[
            ItemSums(
                ordinal=item["ordinal"],
                item_id=item["item_id"],
                item_version=item["item_version"],
                max_score=item["max_score"],
                n=item["n"],
                answered=item["answered"],
                sum_item=int(item["sum_item"]),
                sum_item_squared=int(item["sum_item_squared"]),
                sum_item_times_total=int(item["sum_item_times_total"]),
                options=options[item["item_id"]],
            )
            for item in items
        ],
        distribution={int(row["score"]): row["examinees"] for row in distribution},
    )


async def item_codes(connection: Connection, exam_id: str) -> dict[str, str]:
    """The authors' names of the exam's items."""
    found = await many(
        connection,
        """
        SELECT i.item_id, v.code
        FROM read.item_statistics i JOIN read.item_versions v USING (item_id, item_version)
        WHERE i.exam_id = %s
        """,
        [exam_id],
    )
    return {row["item_id"]: row["code"] for row in found}


async def _options(connection: Connection, exam_id: str) -> dict[str, list[OptionSums]]:
    found = await many(
        connection,
        """
        SELECT o.item_id, o.option, o.chosen, o.sum_total,
               coalesce(k.key -> 'options' ? o.option, false) AS is_key
        FROM read.option_statistics o
        JOIN read.item_statistics i USING (exam_id, item_id)
        LEFT JOIN read.item_keys k USING (item_id, item_version)
        WHERE o.exam_id = %s ORDER BY o.item_id, o.ordinal
        """,
        [exam_id],
    )
    options: dict[str, list[OptionSums]] = defaultdict(list)
    for row in found:
        options[row["item_id"]].append(
            OptionSums(
                option=row["option"],
                is_key=row["is_key"],
                chosen=row["chosen"],
                sum_total=int(row["sum_total"]),
            )
        )
    return options
