"""What the relay to Kafka counts, for Prometheus."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True)
class RelayMetrics:
    """Of one relay. The lag is of the database, whoever leads; the rest counts what this process did."""

    lag_events: Gauge
    lag_s: Gauge
    position: Gauge
    leading: Gauge
    published: Counter
    errors: Counter
    rewinds: Counter

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "RelayMetrics":
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"megacity_relay_{name}", text, registry=registry)

        def counter(name: str, text: str) -> Counter:
            return Counter(f"megacity_relay_{name}", text, registry=registry)

        return cls(
            lag_events=gauge("lag_events", "Events in the log that Kafka has not acknowledged."),
            lag_s=gauge("lag_seconds", "Age of the oldest event that Kafka has not acknowledged."),
            position=gauge("position", "Position in the log up to which Kafka has acknowledged everything."),
            leading=gauge("leading", "1 where this process is the one that relays."),
            published=counter("events_published", "Events acknowledged by Kafka, those sent again included."),
            errors=counter("errors", "Times that it could not go on and began anew."),
            rewinds=counter("rewinds", "Times that Kafka had lost messages, which were sent again."),
        )
