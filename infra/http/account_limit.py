"""How often somebody may try to prove that an account is theirs, from however many addresses.

The wall before the routes (`infra.http.rate_limits`) knows who asks; only a route knows about which account.
"""

from starlette.requests import Request

from infra.http.rate_limits import RateLimits, refusal_of
from infra.rate_limits.limiter import Take


async def count_try(request: Request, account: str) -> None:
    """One more try at the password of `account`, before it is known whether there is such an account.

    Raises `RateLimited`, the same whether or not there is one.
    """
    limits: RateLimits | None = getattr(request.app.state, "rate_limits", None)
    if limits is None:
        return
    takes = [Take(key=account, limit=limits.account)]
    decisions = await limits.limiter.take_all(takes)
    if not all(decision.allowed for decision in decisions):
        raise refusal_of(limits, takes, decisions)
