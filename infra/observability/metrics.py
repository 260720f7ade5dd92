"""What the program counts, for Prometheus.

Nothing here is global: the composition root makes one registry and hands each part its own metrics, so that
two applications in one process (as in tests) do not mix their figures.
"""

from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

# An append is one commit: a fraction of a millisecond without fsync, some milliseconds with it.
_APPEND_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_BATCH_BUCKETS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)


def new_registry() -> CollectorRegistry:
    """A registry that already tells about the process: memory, CPU time, open files, garbage collection."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(namespace="megacity", registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@dataclass(frozen=True)
class EventStoreMetrics:
    """Of one event store."""

    append_duration_s: Histogram
    appended: Counter
    """Events, by `category`."""
    conflicts: Counter
    """Appends that lost against another writer of the same stream, by `category`."""
    rejected: Counter
    """Appends and loads turned away because too many were under way."""
    under_way: Gauge
    """Appends and loads that wait or are being carried out."""

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "EventStoreMetrics":
        return cls(
            append_duration_s=Histogram(
                "megacity_append_duration_seconds",
                "From the call of append until it is durable.",
                buckets=_APPEND_BUCKETS_S,
                registry=registry,
            ),
            appended=Counter(
                "megacity_events_appended",
                "Events appended to the log.",
                ["category"],
                registry=registry,
            ),
            conflicts=Counter(
                "megacity_append_conflicts",
                "Appends refused because the stream had moved on.",
                ["category"],
                registry=registry,
            ),
            rejected=Counter(
                "megacity_event_log_calls_rejected",
                "Appends and loads turned away because too many were under way.",
                registry=registry,
            ),
            under_way=Gauge(
                "megacity_event_log_calls_under_way",
                "Appends and loads that wait or are being carried out.",
                registry=registry,
            ),
        )


@dataclass(frozen=True)
class ProjectionMetrics:
    """Of all projections; each label is a projection's name.

    `position` and `lag` are of the database, whoever follows the log; the rest counts what this process did.
    """

    position: Gauge
    lag: Gauge
    applied: Counter
    batch_duration_s: Histogram
    failures: Counter

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "ProjectionMetrics":
        label = ["projection"]
        return cls(
            position=Gauge(
                "megacity_projection_position",
                "Position in the log of the last event applied.",
                label,
                registry=registry,
            ),
            lag=Gauge(
                "megacity_projection_lag_events",
                "Events in the log that are not yet applied.",
                label,
                registry=registry,
            ),
            applied=Counter(
                "megacity_projection_events_applied",
                "Events that this process has applied.",
                label,
                registry=registry,
            ),
            batch_duration_s=Histogram(
                "megacity_projection_batch_duration_seconds",
                "One batch of events, from the lock of the checkpoint to the commit.",
                label,
                buckets=_BATCH_BUCKETS_S,
                registry=registry,
            ),
            failures=Counter(
                "megacity_projection_failures",
                "Times that it could not go on and tried again: an event it cannot apply, a lost connection.",
                label,
                registry=registry,
            ),
        )

    def record_progress(self, projection: str, *, position: int, head: int) -> None:
        """`head` is the log's last position; a projection that is ahead of a stale `head` has no lag."""
        self.position.labels(projection).set(position)
        self.lag.labels(projection).set(max(0, head - position))
