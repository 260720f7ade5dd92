"""The methods of finding DIF, brought to one form."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from domain.cat.dif.calibrated import lord_from_responses
from domain.cat.dif.logistic import Kind, logistic_dif
from domain.cat.dif.mantel_haenszel import mantel_haenszel
from domain.cat.types import Floats, Ints

NOT_SETTLED: Final = "Purification came to no end; the last round is what is written."
_SIGNIFICANT: Final = 0.05


@dataclass(frozen=True)
class Method:
    """The options; those that do not belong to the method are not looked at."""

    name: Literal["mh", "logistic", "lord"]
    correction: bool
    purify: bool
    kind: Kind
    model: Literal["1pl", "2pl", "3pl"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """One entry for each of m items; what `effect` and `flag` are depends on the method."""

    statistic: Floats
    p_value: Floats
    effect: Floats
    flag: tuple[str, ...]
    remarks: tuple[str, ...]


def compare(method: Method, responses: Ints, groups: Ints) -> Comparison:
    """`responses` (n, m) of right and wrong, `groups` (n,). Raises CatError, as the methods do."""
    match method.name:
        case "mh":
            found = mantel_haenszel(responses, groups, correction=method.correction, purify=method.purify)
            remarks = () if found.settled else (NOT_SETTLED,)
            return Comparison(found.chi_square, found.p_value, found.delta, found.ets_class, remarks)
        case "logistic":
            regressions = logistic_dif(responses, groups, purify=method.purify, kind=method.kind)
            test = regressions.test(method.kind)
            remarks = () if regressions.settled else (NOT_SETTLED,)
            return Comparison(
                test.chi_square, test.p_value, test.r_squared_change, test.jodoin_gierl, remarks
            )
        case "lord":
            return _by_lord(method, responses, groups)


def _by_lord(method: Method, responses: Ints, groups: Ints) -> Comparison:
    tested = lord_from_responses(responses, groups, model=method.model, purify=method.purify)
    remarks = [f"The calibration of the {name} group has not converged." for name in tested.unfinished]
    if not tested.linked.settled:
        remarks.append(NOT_SETTLED)
    flags = np.where(tested.p_value < _SIGNIFICANT, "*", "")
    flags[np.isnan(tested.p_value)] = "-"
    harder = tested.difference[:, 0 if method.model == "1pl" else 1]  # b, or a and then b
    return Comparison(
        tested.chi_square, tested.p_value, harder, tuple(str(flag) for flag in flags), tuple(remarks)
    )
