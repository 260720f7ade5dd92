"""When a request that failed is sent again, and after how long."""

from collections.abc import Mapping

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 3.0

TEMPORARY_CONFLICTS = frozenset({"request-in-flight", "version-conflict"})
"""Refusals with status 409 that say nothing but "not at this moment"."""


def is_temporary(status: int, slug: str) -> bool:
    """Whether the same request may well succeed a little later: the server is down, full or restarting."""
    return status >= 500 or status == 429 or (status == 409 and slug in TEMPORARY_CONFLICTS)


def delay_s(failures: int, retry_after_s: float | None, jitter: float) -> float:
    """How long to wait after so many failures in a row (from 1).

    Doubles from `FIRST_DELAY_S` up to `LONGEST_DELAY_S`; `jitter` between 0 and 1 takes off up to half of it,
    so that many waiters do not come back at one moment. Never less than the server asks for.
    """
    longest = min(FIRST_DELAY_S * 2.0 ** min(failures - 1, 16), LONGEST_DELAY_S)
    return max(longest * (1 - jitter / 2), retry_after_s or 0.0)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The `Retry-After` header in seconds; None where it is missing or a date."""
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) <= 5 else None
