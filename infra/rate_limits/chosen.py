"""The limits that the settings ask for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry

from infra.http.rate_limits import RateLimits
from infra.rate_limits.addresses import Origin, networks
from infra.rate_limits.failover import FailoverRateLimiter
from infra.rate_limits.in_process import InProcessRateLimiter
from infra.rate_limits.limiter import RateLimiter, limit_of
from infra.rate_limits.metrics import RateLimitMetrics
from infra.settings import Settings

log = structlog.get_logger("rate-limits")


@asynccontextmanager
async def open_rate_limits(
    settings: Settings, registry: CollectorRegistry
) -> AsyncIterator[RateLimits | None]:
    """What `infra.http.rate_limits` goes by, until the block ends; None where there shall be no limits."""
    given = settings.limits
    if not given.enabled:
        log.info("rate limits are off")
        yield None
        return
    metrics = RateLimitMetrics.create(registry)
    async with open_rate_limiter(settings, metrics) as limiter:
        yield RateLimits(
            limiter=limiter,
            metrics=metrics,
            user=limit_of("user", given.user_per_s, per_s=1, burst=given.user_burst),
            service=limit_of("service", given.service_per_s, per_s=1, burst=given.service_burst),
            address=limit_of("address", given.address_per_min, per_s=60, burst=given.address_burst),
            network=limit_of("network", given.network_per_min, per_s=60, burst=given.network_burst),
            account=limit_of("account", given.sign_ins_per_min, per_s=60, burst=given.sign_in_burst),
            origin=Origin(networks(given.trusted_proxies), networks(given.known_networks)),
        )


@asynccontextmanager
async def open_rate_limiter(settings: Settings, metrics: RateLimitMetrics) -> AsyncIterator[RateLimiter]:
    """Counts in Redis where the settings name one, else in this process. Redis need not be there yet."""
    local = InProcessRateLimiter()
    url = settings.redis.url
    if url is None:
        log.info("rate limits are counted in this process; with REDIS_URL all processes share them")
        yield local
        return
    # Redis' client takes a tenth of a second to load, which nobody without Redis shall wait for.
    from infra.rate_limits.in_redis import RedisRateLimiter

    timeout_s = settings.limits.store_timeout_ms / 1000
    async with RedisRateLimiter(url.get_secret_value(), timeout_s=timeout_s) as shared:
        yield FailoverRateLimiter(shared, local, metrics)
