"""Tells the other processes through Redis that tokens were revoked, so that they look at once.

The message says nothing: each process reads `ops.revocations` itself, as it does now and then in any case.
So whoever can write to Redis can revoke nothing, and a message that is lost costs a quarter of a second.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

CHANNEL: Final = "megacity:revocations"
AGAIN_AFTER_S: Final = 1.0
"""So long a Redis that is away is left alone."""

log = structlog.get_logger("auth")


class RevocationNews:
    """For one event loop; connects when `follow` begins."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0), socket_connect_timeout=1.0)
        self._rung = asyncio.Event()
        self._heard = asyncio.Event()

    def ring(self) -> None:
        """Something was revoked, and written down. However often in a moment, it is told once."""
        self._rung.set()

    async def follow(self, look: Callable[[], Awaitable[None]]) -> None:
        """Tells the others and listens to them, whatever happens, until it is cancelled.

        `look` is called when somebody has rung, in this process too: it finds what it knows.
        """
        is_away = False
        try:
            while True:
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._tell())
                        tasks.create_task(self._listen())
                        tasks.create_task(self._look(look))
                except* (RedisError, OSError) as errors:
                    if not is_away:
                        log.warning(
                            "revocations are not told through Redis", error=repr(errors.exceptions[0])
                        )
                    is_away = True
                # What was revoked meanwhile is found by the look that comes now and then in any case.
                await asyncio.sleep(AGAIN_AFTER_S)
        finally:
            with suppress(RedisError, OSError):
                await self._redis.aclose()

    async def _tell(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            await self._redis.publish(CHANNEL, "")

    async def _listen(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(CHANNEL)
            async for _ in channel.listen():
                self._heard.set()

    async def _look(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._heard.wait()
            # First: what is told while it looks may be missing in what it finds.
            self._heard.clear()
            try:
                await look()
            except Exception as error:
                # The database may be away: the list is read again as soon as it is back.
                log.exception("ended sessions not looked for", error=type(error).__name__)
