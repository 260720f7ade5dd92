"""Classical item analysis: from counts and sums to statistics.

Everything is worked out in exact fractions and rounded once, at the end: what has no variance has
exactly none, and no cancellation spoils a small variance of large scores. A statistic that is not
defined (no variance, fewer than two examinees) is None, never NaN.

Standard deviations and the standard error of measurement are those of a sample (divisor n - 1).
Coefficient alpha and all correlations are ratios in which the divisor cancels.

References:
    Crocker, L. & Algina, J. (1986). Introduction to Classical and Modern Test Theory. Holt,
        Rinehart and Winston. Chapters 6 and 7 (reliability), 14 (item analysis).
    Cronbach, L. J. (1951). Coefficient alpha and the internal structure of tests. Psychometrika 16,
        297-334.
    Kuder, G. F. & Richardson, M. W. (1937). The theory of the estimation of test reliability.
        Psychometrika 2, 151-160.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec


class OptionSums(msgspec.Struct, frozen=True, kw_only=True):
    """Of the examinees who chose an option: how many, and the sum of their total scores."""

    option: str
    is_key: bool
    chosen: int
    sum_total: int


class ItemSums(msgspec.Struct, frozen=True, kw_only=True):
    """One item over n examinees: x is the item's score, t the total score.

    Attributes:
        answered: examinees who gave any answer.
        sum_item: sum of x.
        sum_item_squared: sum of x squared.
        sum_item_times_total: sum of x times t.
    """

    ordinal: int
    item_id: str
    item_version: int
    max_score: int
    n: int
    answered: int
    sum_item: int
    sum_item_squared: int
    sum_item_times_total: int
    options: Sequence[OptionSums] = ()


class ExamSums(msgspec.Struct, frozen=True, kw_only=True):
    """An exam over n examinees, all of whom were scored on all items."""

    n: int
    max_score: int
    sum_score: int
    sum_score_squared: int
    items: Sequence[ItemSums]
    distribution: Mapping[int, int] = {}


class OptionStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """`proportion` is of all examinees; `point_biserial` correlates choosing the option with the total."""

    option: str
    is_key: bool
    count: int
    proportion: float | None
    mean_score: float | None
    point_biserial: float | None


class ItemStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """`p_value` is the mean as a share of the item's points: for a 0/1 item the proportion right."""

    ordinal: int
    item_id: str
    item_version: int
    max_score: int
    n: int
    omitted: int
    p_value: float | None
    sd: float | None
    point_biserial: float | None
    point_biserial_corrected: float | None
    alpha_if_item_deleted: float | None
    options: list[OptionStatistics]


class ScoreCount(msgspec.Struct, frozen=True):
    score: int
    examinees: int


class ExamStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """`kr20` is None unless every item is scored 0 or 1; `sem` is the standard error of measurement."""

    n: int
    max_score: int
    mean: float | None
    sd: float | None
    alpha: float | None
    kr20: float | None
    sem: float | None
    score_distribution: list[ScoreCount]
    items: list[ItemStatistics]


def analyse(exam: ExamSums) -> ExamStatistics:
    """All statistics of an exam.

    Example:
        >>> item = ItemSums(ordinal=1, item_id="i", item_version=1, max_score=1, n=2, answered=2,
        ...                 sum_item=1, sum_item_squared=1, sum_item_times_total=1)
        >>> analyse(ExamSums(n=2, max_score=1, sum_score=1, sum_score_squared=1, items=[item])).mean
        0.5
    """
    total = _variance(exam.n, exam.sum_score, exam.sum_score_squared)
    variances = [_variance(exam.n, item.sum_item, item.sum_item_squared) for item in exam.items]
    sum_of_variances = sum(variances, Fraction(0))
    reliability = _alpha(len(exam.items), sum_of_variances, total)
    sd = _sample_sd(exam.n, total)
    return ExamStatistics(
        n=exam.n,
        max_score=exam.max_score,
        mean=_ratio(exam.sum_score, exam.n),
        sd=sd,
        alpha=_rounded(reliability),
        kr20=kuder_richardson_20(exam),
        sem=None if sd is None or reliability is None else sd * _root(1 - reliability),
        score_distribution=[ScoreCount(score, count) for score, count in sorted(exam.distribution.items())],
        items=[
            _item_statistics(exam, item, variance, sum_of_variances, total)
            for item, variance in zip(exam.items, variances, strict=True)
        ],
    )


def cronbach_alpha(exam: ExamSums) -> float | None:
    """Coefficient alpha: k / (k - 1) * (1 - sum of the item variances / variance of the totals).

    Cronbach (1951); Crocker & Algina (1986, chapter 7). None for fewer than two items or examinees, or
    when all totals are equal. It is negative where items correlate negatively on the whole.
    """
    total = _variance(exam.n, exam.sum_score, exam.sum_score_squared)
    items = (_variance(exam.n, item.sum_item, item.sum_item_squared) for item in exam.items)
    return _rounded(_alpha(len(exam.items), sum(items, Fraction(0)), total))


def kuder_richardson_20(exam: ExamSums) -> float | None:
    """KR-20: alpha with p * q as the variance of an item that is scored 0 or 1.

    Kuder & Richardson (1937); Crocker & Algina (1986, chapter 7). None unless every item is
    worth exactly one point, and where alpha is None.
    """
    if exam.n == 0 or any(item.max_score != 1 for item in exam.items):
        return None
    right = [Fraction(item.sum_item, exam.n) for item in exam.items]
    total = _variance(exam.n, exam.sum_score, exam.sum_score_squared)
    return _rounded(_alpha(len(right), sum((p * (1 - p) for p in right), Fraction(0)), total))


def _item_statistics(
    exam: ExamSums, item: ItemSums, variance: Fraction, sum_of_variances: Fraction, total: Fraction
) -> ItemStatistics:
    """Crocker & Algina (1986, chapter 14): difficulty, discrimination and the options' behaviour.

    With x the item and t the total, the corrected correlation is that of x with t - x, whose
    covariance is cov(x, t) - var(x) and whose variance is var(t) + var(x) - 2 cov(x, t).
    """
    covariance = _covariance(exam.n, item.sum_item_times_total, item.sum_item, exam.sum_score)
    rest = total + variance - 2 * covariance
    return ItemStatistics(
        ordinal=item.ordinal,
        item_id=item.item_id,
        item_version=item.item_version,
        max_score=item.max_score,
        n=item.n,
        omitted=item.n - item.answered,
        p_value=_ratio(item.sum_item, item.n * item.max_score),
        sd=_sample_sd(item.n, variance),
        point_biserial=_correlation(covariance, variance, total),
        point_biserial_corrected=_correlation(covariance - variance, variance, rest),
        alpha_if_item_deleted=_rounded(_alpha(len(exam.items) - 1, sum_of_variances - variance, rest)),
        options=[_option_statistics(exam, option, total) for option in item.options],
    )


def _option_statistics(exam: ExamSums, option: OptionSums, total: Fraction) -> OptionStatistics:
    """Choosing the option is a 0/1 variable: its sum and its sum of squares are both the count."""
    variance = _variance(exam.n, option.chosen, option.chosen)
    covariance = _covariance(exam.n, option.sum_total, option.chosen, exam.sum_score)
    return OptionStatistics(
        option=option.option,
        is_key=option.is_key,
        count=option.chosen,
        proportion=_ratio(option.chosen, exam.n),
        mean_score=_ratio(option.sum_total, option.chosen),
        point_biserial=_correlation(covariance, variance, total),
    )


def _alpha(items: int, sum_of_variances: Fraction, total: Fraction) -> Fraction | None:
    if items < 2 or total == 0:
        return None
    return Fraction(items, items - 1) * (1 - sum_of_variances / total)


def _variance(n: int, total: int, squares: int) -> Fraction:
    """With divisor n; nought where there is nobody."""
    return _covariance(n, squares, total, total)


def _covariance(n: int, products: int, first: int, second: int) -> Fraction:
    return Fraction(0) if n == 0 else Fraction(n * products - first * second, n * n)


def _correlation(covariance: Fraction, first: Fraction, second: Fraction) -> float | None:
    if first == 0 or second == 0:
        return None
    size = _root(covariance * covariance / (first * second))
    return -size if covariance < 0 else size


def _sample_sd(n: int, variance: Fraction) -> float | None:
    return None if n < 2 else _root(variance * n / (n - 1))


def _ratio(numerator: int, denominator: int) -> float | None:
    return None if denominator == 0 else float(Fraction(numerator, denominator))


def _rounded(exact: Fraction | None) -> float | None:
    return None if exact is None else float(exact)


def _root(square: Fraction) -> float:
    return math.sqrt(float(square))
