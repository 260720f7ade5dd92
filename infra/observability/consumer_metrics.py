"""What the consumers of the relayed log count."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True)
class ConsumerMetrics:
    """Of all consumers of a process; each first label is a consumer's name."""

    handled: Counter
    passed_over: Counter
    """Messages whose effect was there already."""
    filled: Counter
    """Events that the broker did not have any more, read from the log instead."""
    dead_letters: Counter
    outages: Counter
    lag: Gauge
    lag_s: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "ConsumerMetrics":
        return cls(
            handled=Counter(
                "megacity_consumer_events_handled",
                "Events that have taken effect.",
                ["consumer"],
                registry=registry,
            ),
            passed_over=Counter(
                "megacity_consumer_messages_passed_over",
                "Messages that came again after their effect was there.",
                ["consumer"],
                registry=registry,
            ),
            filled=Counter(
                "megacity_consumer_events_from_log",
                "Events that the broker had lost, read from the log instead.",
                ["consumer"],
                registry=registry,
            ),
            dead_letters=Counter(
                "megacity_consumer_dead_letters",
                "Messages given up and written to a dead-letter topic, with the reason.",
                ["consumer"],
                registry=registry,
            ),
            outages=Counter(
                "megacity_consumer_outages",
                "Times that a consumer waited for something that was away.",
                ["consumer"],
                registry=registry,
            ),
            lag=Gauge(
                "megacity_consumer_lag_events",
                "Messages of the partition that the consumer has not handled.",
                ["consumer", "topic", "partition"],
                registry=registry,
            ),
            lag_s=Gauge(
                "megacity_consumer_lag_seconds",
                "Age of the last handled message of a partition in which more are waiting; else 0.",
                ["consumer", "topic", "partition"],
                registry=registry,
            ),
        )
