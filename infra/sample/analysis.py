"""The item analysis as `GET /api/v1/analytics/exam/{exam_id}` gives it, less what nobody here uses."""

import msgspec


class ScoreCount(msgspec.Struct, frozen=True):
    score: int
    examinees: int


class OptionAnalysis(msgspec.Struct, frozen=True):
    option: str
    is_key: bool
    count: int
    proportion: float | None
    point_biserial: float | None


class ItemAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """Correlations and alpha are None where they are not defined (an item that everybody answers alike)."""

    ordinal: int
    code: str | None
    max_score: int
    n: int
    omitted: int
    p_value: float | None
    point_biserial: float | None
    point_biserial_corrected: float | None
    alpha_if_item_deleted: float | None
    options: list[OptionAnalysis]


class ExamAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """`sem` is the standard error of measurement; `kr20` is None unless every item is worth one point."""

    n: int
    max_score: int
    mean: float | None
    sd: float | None
    alpha: float | None
    kr20: float | None
    sem: float | None
    score_distribution: list[ScoreCount]
    items: list[ItemAnalysis]
