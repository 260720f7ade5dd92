"""What the sequencer counts. See `infra.observability.metrics`."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BATCH_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)
_BATCH_BUCKETS_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 10_000, 100_000)


@dataclass(frozen=True)
class SequencerMetrics:
    """Of this process's sequencer, which counts while it leads."""

    leads: Gauge
    position: Gauge
    sequenced: Counter
    batch_events: Histogram
    batch_duration_s: Histogram
    failures: Counter
    unsequenced: Gauge
    """Of the database, whoever leads: set by the readiness probe."""
    unsequenced_age_s: Gauge
    """Likewise."""

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "SequencerMetrics":
        return cls(
            leads=Gauge(
                "megacity_sequencer_leads",
                "1 where this process gives events their positions, 0 where it stands by.",
                registry=registry,
            ),
            position=Gauge(
                "megacity_sequencer_position", "The last position that was given here.", registry=registry
            ),
            sequenced=Counter(
                "megacity_sequencer_events", "Events that got their position here.", registry=registry
            ),
            batch_events=Histogram(
                "megacity_sequencer_batch_events",
                "Events in one batch.",
                buckets=_BATCH_BUCKETS_EVENTS,
                registry=registry,
            ),
            batch_duration_s=Histogram(
                "megacity_sequencer_batch_duration_seconds",
                "One batch, until its positions are durable.",
                buckets=_BATCH_BUCKETS_S,
                registry=registry,
            ),
            failures=Counter(
                "megacity_sequencer_failures",
                "Times that it lost its connection, or met another fault, and tried again.",
                registry=registry,
            ),
            unsequenced=Gauge(
                "megacity_sequencer_lag_events",
                "Committed events that have no position yet.",
                registry=registry,
            ),
            unsequenced_age_s=Gauge(
                "megacity_sequencer_lag_seconds",
                "Age of the oldest committed event that has no position yet.",
                registry=registry,
            ),
        )
