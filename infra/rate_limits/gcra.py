"""The generic cell rate algorithm, in whole microseconds: no state but one moment for each key.

That moment is the theoretical arrival time: when the next request would come if all came evenly. Requests may
come before it by at most the burst's length. It is the virtual scheduling algorithm of ITU-T Recommendation
I.371 (and of the ATM Forum's Traffic Management Specification 4.1, section 4.4.2, which shows that it equals
the continuous-state leaky bucket), with the tolerance written as what a burst of n takes: τ = (n - 1) T.

`gcra.lua` says the same for Redis; a test holds the two against each other.
"""

from infra.rate_limits.limiter import MICROSECONDS, Decision, Limit


def arrival_us(stored_us: int | None, now_us: int, limit: Limit) -> int:
    """The theoretical arrival time at `now_us`; `stored_us` is what was kept of it, if anything.

    It is never further away than a whole burst. If it seems to be, a clock was set back or the limit made
    smaller: then the count begins anew, and nobody is locked out.
    """
    if stored_us is None or not now_us < stored_us <= now_us + limit.capacity_us:
        return now_us
    return stored_us


def wait_us(arrival: int, now_us: int, limit: Limit, cost: int) -> int:
    """How long until `cost` may be taken; 0 and less: now."""
    return arrival + cost * limit.interval_us - limit.capacity_us - now_us


def decision(arrival: int, now_us: int, limit: Limit, waiting_us: int) -> Decision:
    """`arrival` as it is after the request, `waiting_us` as it was before."""
    return Decision(
        allowed=waiting_us <= 0,
        remaining=(now_us + limit.capacity_us - arrival) // limit.interval_us,
        retry_after_s=max(0, waiting_us) / MICROSECONDS,
        reset_after_s=(arrival - now_us) / MICROSECONDS,
    )
