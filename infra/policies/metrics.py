"""What is counted of decisions about access."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter


@dataclass(frozen=True)
class DecisionMetrics:
    """`made` by action and answer; `records` by what became of those that are recorded one by one."""

    made: Counter
    records: Counter

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "DecisionMetrics":
        return cls(
            made=Counter(
                "megacity_access_decisions",
                "Decisions about access, by action and answer (allow, deny).",
                ("action", "answer"),
                registry=registry,
            ),
            records=Counter(
                "megacity_access_decision_records",
                "Decisions that are recorded one by one: written, repeated (recorded a moment ago), "
                "dropped (there was no room, or no more for this person; nothing waits for a record).",
                ("outcome",),
                registry=registry,
            ),
        )
