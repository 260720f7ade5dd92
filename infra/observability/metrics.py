"""What the program counts, for Prometheus.

Nothing here is global: the composition root makes one registry and hands each part its own metrics, so that
two applications in one process (as in tests) do not mix their figures.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

# An append is one commit: a fraction of a millisecond without fsync, some milliseconds with it.
_APPEND_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
_PROJECTED_BUCKETS = (1, 5, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_BATCH_BUCKETS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)


def new_registry() -> CollectorRegistry:
    """A registry that already tells about the process: memory, CPU time, open files, garbage collection."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(namespace="megacity", registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class BatchedHistogram(Collector):
    """A histogram that takes many values at once, at a fraction of the cost; for one thread that writes."""

    def __init__(
        self, name: str, documentation: str, *, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._documentation = name, documentation
        self._bounds = sorted(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        self.observe_many((value,))

    def observe_many(self, values: Sequence[float]) -> None:
        bounds, counts = self._bounds, self._counts
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self._sum += sum(values)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        upper = [*map(floatToGoString, self._bounds), "+Inf"]
        buckets = list(zip(upper, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets, self._sum)


@dataclass(frozen=True)
class EventStoreMetrics:
    """Of one event store."""

    append_duration_s: "BatchedHistogram"
    appended: Counter
    """Events, by `category`."""
    conflicts: Counter
    """Appends that lost against another writer of the same stream, by `category`."""
    batch_commands: Histogram
    """How many commands shared a transaction."""
    rejected: Counter
    """Appends and loads turned away because too many were under way."""
    under_way: Gauge
    """Appends and loads that wait or are being carried out."""
    waiting: Gauge
    """Appends that no transaction has taken yet."""

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "EventStoreMetrics":
        return cls(
            append_duration_s=BatchedHistogram(
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
            batch_commands=Histogram(
                "megacity_append_batch_commands",
                "Commands that shared a transaction.",
                buckets=_BATCH_BUCKETS,
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
            waiting=Gauge(
                "megacity_appends_waiting",
                "Appends that no transaction has taken yet.",
                registry=registry,
            ),
        )


@dataclass(frozen=True)
class ProjectionMetrics:
    """Of all projections; each label is a projection's name.

    `position`, `lag`, `lag_s` and `set_aside` are of the database, whoever follows the log; the rest counts
    what this process did.
    """

    position: Gauge
    lag: Gauge
    lag_s: Gauge
    set_aside: Gauge
    applied: Counter
    batch_duration_s: Histogram
    batch_size: Histogram
    poison: Counter
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
            lag_s=Gauge(
                "megacity_projection_lag_seconds",
                "Age of the oldest event in the log that is not yet applied; 0 where all are.",
                label,
                registry=registry,
            ),
            set_aside=Gauge(
                "megacity_projection_events_set_aside",
                "Events that wait: those that cannot be applied, and those behind them in their streams.",
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
            batch_size=Histogram(
                "megacity_projection_batch_events",
                "Events in one batch.",
                label,
                buckets=_PROJECTED_BUCKETS,
                registry=registry,
            ),
            poison=Counter(
                "megacity_projection_poison_events",
                "Events that this process could not apply or read, and set aside.",
                label,
                registry=registry,
            ),
            failures=Counter(
                "megacity_projection_failures",
                "Times that it could not go on and tried again: a lost connection, a database that is full.",
                label,
                registry=registry,
            ),
        )

    def record_progress(
        self, projection: str, *, position: int, head: int, lag_s: float = 0.0, set_aside: int = 0
    ) -> None:
        """`head` is the log's last position; a projection that is ahead of a stale `head` has no lag."""
        self.position.labels(projection).set(position)
        self.lag.labels(projection).set(max(0, head - position))
        self.lag_s.labels(projection).set(lag_s)
        self.set_aside.labels(projection).set(set_aside)
