"""What walls cost: a decision, the rate limiter, row-level security, and all that stands before a handler."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import msgspec
import pytest

from domain.policies.access import AccessRequest
from domain.policies.policy_set import ActiveRule, PolicySet
from infra.policies.engine import PreparedSet
from infra.policies.founding import founding_rules
from tests.benchmarks.harness import ROUNDS, Report, bench_database, bench_server, scaled
from tests.benchmarks.limiting import measure_limiters
from tests.benchmarks.rls_cost import AIM, rls_cost
from tests.benchmarks.walls import measure_walls
from tests.support.exam_parts import uuid7
from tests.support.policies import a_request

DECISIONS = 5_000
P50_AIM_US = 150.0
MANY_RULES = 100
ABOUT_EACH = 60
"""Of the founding rules three in five are about each action."""


@pytest.mark.timeout(1800)
def test_access(tmp_path: Path) -> None:
    report = Report("access")
    _measure_decisions(report)
    measure_limiters(report)
    _measure_row_level_security(report)
    measure_walls(report, tmp_path)
    report.write()


def _measure_row_level_security(report: Report) -> None:
    """A teacher's list of 5,000 attempts beside the owner's with the conditions written out."""
    runs = []
    with bench_server(fsync=False) as server:
        for _ in range(ROUNDS):
            with bench_database(server) as conninfo:
                runs.append(rls_cost(conninfo))
    policies, written_out = [run.with_policies_ms for run in runs], [run.written_out_ms for run in runs]
    report.ratio("rls_to_written_out", policies, written_out, aim=f"<= {AIM:g}")
    report.figure("5,000 attempts under policies", policies, "ms")
    report.figure("5,000 attempts with conditions written out", written_out, "ms")


def _measure_decisions(report: Report) -> None:
    """The founding rules, and many more, prepared once and asked over and over."""
    founding = founding_rules()
    requests = _requests()
    for size, rules in (
        ("founding rules", founding),
        (f"{MANY_RULES} rules, {ABOUT_EACH} about the action", _many(founding)),
    ):
        policy_set = PolicySet(position=0, since=None, until=None, rules=rules)
        prepared = PreparedSet(policy_set)
        _timed(prepared.decide, requests)  # warm-up
        runs = [_timed(prepared.decide, requests) for _ in range(ROUNDS)]
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            figures = [run[int(share * len(run))] for run in runs]
            report.figure(f"decision with {size}, {name}", figures, "µs")
        first = [
            _timed(lambda asked, rules=policy_set: PreparedSet(rules).decide(asked), requests[:1])[0]
            for _ in range(ROUNDS)
        ]
        report.figure(f"first decision with {size}", first, "µs")
        if size == "founding rules":
            aimed = [run[len(run) // 2] for run in runs]
            report.ratio("decision_p50_to_aim", aimed, [P50_AIM_US] * ROUNDS, aim="<= 1")


def _requests() -> list[AccessRequest]:
    """Of each kind that the founding rules are about, allowed and denied."""
    person = {
        "organizations": ["organization-1", "organization-2"],
        "subscription_status": "active",
        "email_verified": True,
        "age_years": 17,
    }
    feature = {"kind": "feature", "id": "feature-1"}
    about = [
        a_request(principal={**person, "has_active_exam": taking}, action=action, resource=resource)
        for taking in (True, False)
        for action, resource in (
            ("use_ai_tutor", feature),
            ("use_premium_feature", feature),
            ("enter_zone", {}),
            ("enter_zone", {"id": "kzone", "zone": "kzone"}),
        )
    ]
    count = scaled(DECISIONS)
    return [about[at % len(about)] for at in range(count)]


def _many(founding: Sequence[ActiveRule]) -> tuple[ActiveRule, ...]:
    """The founding rules over and over under other ids, as an installation gathers them over the years."""
    return tuple(
        ActiveRule(
            f"policy-{uuid7(at)}",
            msgspec.structs.replace(founding[at % len(founding)].rule, id=f"rule-{at}"),
        )
        for at in range(MANY_RULES)
    )


def _timed(decide: Callable[[AccessRequest], object], requests: Sequence[AccessRequest]) -> list[float]:
    """Microseconds each, in order."""
    taken = []
    for request in requests:
        begun = perf_counter()
        decide(request)
        taken.append((perf_counter() - begun) * 1e6)
    return sorted(taken)
