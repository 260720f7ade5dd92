"""What the engine of adaptive tests counts. How far it is behind: `infra.observability.consumer_metrics`."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram

from commands.reactions.cat_engine import Decided

_DECISION_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0)


@dataclass(frozen=True)
class CatMetrics:
    """Of this process's engine."""

    decisions: Counter
    decision_s: Histogram

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "CatMetrics":
        return cls(
            decisions=Counter(
                "megacity_cat_decisions",
                "Responses that were followed by the next item, or by the end of the test.",
                ["next"],
                registry=registry,
            ),
            decision_s=Histogram(
                "megacity_cat_decision_seconds",
                "From the moment at which a response was recorded until the decision on it was durable.",
                buckets=_DECISION_BUCKETS_S,
                registry=registry,
            ),
        )

    def count(self, decided: Decided) -> None:
        self.decisions.labels("end" if decided.finished else "item").inc()
        # Recorded by another process, perhaps, whose clock may be ahead of ours.
        self.decision_s.observe(max(0.0, decided.took.total_seconds()))
