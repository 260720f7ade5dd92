"""docs/operations.md lists every metric there is, and none that there is not."""

import re

from infra.http.metrics import HttpMetrics
from infra.observability.cat_metrics import CatMetrics
from infra.observability.checker_metrics import CheckerMetrics
from infra.observability.consumer_metrics import ConsumerMetrics
from infra.observability.metrics import EventStoreMetrics, ProjectionMetrics, new_registry
from infra.observability.relay_metrics import RelayMetrics
from infra.observability.sequencer_metrics import SequencerMetrics
from infra.observability.sign_in_metrics import SignInMetrics
from infra.policies.metrics import DecisionMetrics
from infra.rate_limits.metrics import RateLimitMetrics
from tests.support.postgres import CHECKOUT

MAKERS = [
    EventStoreMetrics.create,
    ProjectionMetrics.create,
    SequencerMetrics.create,
    RelayMetrics.create,
    ConsumerMetrics.create,
    CheckerMetrics.create,
    CatMetrics.create,
    SignInMetrics.create,
    DecisionMetrics.create,
    RateLimitMetrics.create,
    HttpMetrics,
]


def test_the_operations_page_lists_every_metric_and_no_other():
    registry = new_registry()
    of_the_process = {family.name for family in registry.collect()}
    for make in MAKERS:
        make(registry)
    families = [family for family in registry.collect() if family.name not in of_the_process]
    # Prometheus shows counters with an ending of their own.
    exposed = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    page = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `((?:megacity|http)_[a-z_]+)`", page, flags=re.MULTILINE))
    assert listed == exposed


def test_every_metrics_class_is_looked_at_here():
    classes = set()
    for path in (CHECKOUT / "infra").rglob("*metrics.py"):
        classes |= set(re.findall(r"^class (\w*Metrics)\b", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert classes == {getattr(make, "__self__", make).__name__ for make in MAKERS}
