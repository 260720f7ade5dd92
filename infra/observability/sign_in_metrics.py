"""What is counted of sign-ins."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True)
class SignInMetrics:
    """`failed` of this process, `failed_last_hour` of all of them."""

    failed: Counter
    failed_last_hour: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "SignInMetrics":
        return cls(
            failed=Counter(
                "megacity_sign_ins_failed",
                "Sign-ins that were refused: no such account, or another secret.",
                registry=registry,
            ),
            failed_last_hour=Gauge(
                "megacity_sign_ins_failed_last_hour",
                "Refused sign-ins of the last hour, in all processes.",
                registry=registry,
            ),
        )
