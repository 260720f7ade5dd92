"""What the rate limits count of themselves."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True, slots=True)
class RateLimitMetrics:
    refused: Counter
    store_failures: Counter
    store_away: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "RateLimitMetrics":
        return cls(
            refused=Counter(
                "megacity_rate_limit_refused",
                "Requests that came too fast for a limit.",
                ["limit"],
                registry=registry,
            ),
            store_failures=Counter(
                "megacity_rate_limit_store_failures",
                "Times that the shared count did not answer, or not in time; the request went on.",
                registry=registry,
            ),
            store_away=Gauge(
                "megacity_rate_limit_store_away",
                "1 while this process counts by itself because the shared count does not answer.",
                registry=registry,
            ),
        )
