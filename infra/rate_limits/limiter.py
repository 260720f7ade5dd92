"""The port: how often may this key ask?

    decision = await limiter.take("user-0190…", limit)
    decisions = await limiter.take_all([Take(key=..., limit=per_user), Take(key=..., limit=per_school)])

All adapters count alike (`infra.rate_limits.gcra`); they differ in who shares the count.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

MICROSECONDS = 1_000_000


class Limit(msgspec.Struct, frozen=True):
    """One request every `interval_us`, on average, and at most `burst` at once."""

    name: str
    interval_us: int
    burst: int

    def __post_init__(self) -> None:
        if self.interval_us < 1 or self.burst < 1:
            raise ValueError(f"{self.name}: a limit lets something through")

    @property
    def capacity_us(self) -> int:
        """After so long a pause the whole burst is there again."""
        return self.interval_us * self.burst


def limit_of(name: str, requests: float, *, per_s: float, burst: int) -> Limit:
    """`requests` every `per_s` seconds; the interval is a whole number of microseconds, at least one."""
    return Limit(name, max(1, round(per_s * MICROSECONDS / requests)), burst)


class Take(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. Raises ValueError for a cost that could never be paid."""

    key: str
    limit: Limit
    cost: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.cost <= self.limit.burst:
            raise ValueError(
                f"{self.limit.name}: {self.cost} is never to be had, the burst is {self.limit.burst}"
            )


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a limit says to one take.

    `remaining` may be taken at once. `retry_after_s` is 0 where it is `allowed`; else so long it has to wait,
    if nobody takes anything before. After `reset_after_s` the whole burst is there again.
    """

    allowed: bool
    remaining: int
    retry_after_s: float
    reset_after_s: float


class RateLimiter(Protocol):
    async def take(self, key: str, limit: Limit, cost: int = 1) -> Decision:
        """Takes `cost`, if it is there."""
        ...

    async def take_all(self, takes: Sequence[Take]) -> tuple[Decision, ...]:
        """Takes everything or, where one of the limits does not allow it, nothing; a decision for each.

        Each says what its own limit has to say: with one refusal the others may be `allowed`, and have
        lost nothing. Raises ValueError where two takes are of the same limit and key.
        """
        ...


class LimitsUnavailable(Exception):
    """The count cannot be asked for: its store is away, too slow, or answers with an error."""


def require_distinct(takes: Sequence[Take]) -> None:
    """Raises ValueError where two takes are of the same limit and key: each would not see the other."""
    if len(takes) > 1 and len({(each.limit.name, each.key) for each in takes}) < len(takes):
        raise ValueError("one limit and key is taken from once in a call")
