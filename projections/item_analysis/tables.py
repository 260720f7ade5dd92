"""The tables of the item analysis: counts and sums in whole numbers.

Only whole numbers: they add up to the same whatever order and whatever batches they are added in.
The statistics are worked out from them when somebody asks (`projections.item_analysis.statistics`).
"""

from projections.rows import Table

ANALYSIS_ITEMS = Table(
    "analysis_items",
    key=("item_id", "item_version"),
    columns={
        "item_id": "text",
        "item_version": "bigint",
        "zone_id": "text",
        "org_id": "text",
        "points": "bigint",
        "options": "jsonb",
    },
)
EXAM_STATISTICS = Table(
    "exam_statistics",
    key=("exam_id",),
    columns={
        "exam_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "items": "bigint",
        "max_score": "numeric",
        "n": "bigint",
        "sum_score": "numeric",
        "sum_score_squared": "numeric",
    },
)
ITEM_STATISTICS = Table(
    "item_statistics",
    key=("exam_id", "ordinal"),
    columns={
        "exam_id": "text",
        "ordinal": "bigint",
        "item_id": "text",
        "item_version": "bigint",
        "zone_id": "text",
        "org_id": "text",
        "max_score": "bigint",
        "n": "bigint",
        "answered": "bigint",
        "sum_item": "numeric",
        "sum_item_squared": "numeric",
        "sum_item_times_total": "numeric",
    },
)
OPTION_STATISTICS = Table(
    "option_statistics",
    key=("exam_id", "item_id", "option"),
    columns={
        "exam_id": "text",
        "item_id": "text",
        "option": "text",
        "ordinal": "bigint",
        "zone_id": "text",
        "org_id": "text",
        "chosen": "bigint",
        "sum_total": "numeric",
    },
)
SCORE_DISTRIBUTION = Table(
    "score_distribution",
    key=("exam_id", "score"),
    columns={
        "exam_id": "text",
        "score": "numeric",
        "zone_id": "text",
        "org_id": "text",
        "examinees": "bigint",
    },
)
