"""What the checker counts."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter


@dataclass(frozen=True, slots=True)
class CheckerMetrics:
    """Of this process's checker. Any difference at all is worth an alarm."""

    differences: Counter
    streams: Counter

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "CheckerMetrics":
        label = ["projection"]
        return cls(
            differences=Counter(
                "megacity_checker_differences",
                "Rows or stored bytes that were not as the log has them, each time that they were met.",
                label,
                registry=registry,
            ),
            streams=Counter(
                "megacity_checker_streams",
                "Streams that were folded anew and compared with the rows.",
                label,
                registry=registry,
            ),
        )
