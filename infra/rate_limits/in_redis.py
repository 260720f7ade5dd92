"""Counts in Redis or Valkey: one script call for a request, and all processes share the count.

The time is the server's, so that the clocks of the processes make no difference.
"""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha1
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from infra.rate_limits.limiter import MICROSECONDS, Decision, Limit, LimitsUnavailable, Take, require_distinct

PREFIX: Final = "megacity:limit:"
_SCRIPT_FILE: Final = Path(__file__).with_name("gcra.lua")
_AT_ONCE: Final = 100
"""Calls sent together: enough to keep up with a surge, few enough to be answered within the time limit."""

_Call = tuple[list[Any], "asyncio.Future[list[int]]"]


class RedisRateLimiter:
    """`RateLimiter` over a server that the URL names; connects when it is first asked.

    Calls that come while others are under way are sent together as soon as those are answered, over one
    connection: in a surge a call of its own for each would cost more than the requests.

    Raises LimitsUnavailable where the server does not answer within `timeout_s`, or answers with an error.
    """

    def __init__(self, url: str, *, timeout_s: float, clock_us: Callable[[], int] | None = None) -> None:
        # No repeats: while the client waits for a second try its requests would wait too.
        self._redis = Redis.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0))
        self._timeout_s = timeout_s
        self._clock_us = clock_us
        self._script = _SCRIPT_FILE.read_text(encoding="utf-8")
        self._script_id = sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._waiting: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
        await self._redis.aclose()

    async def take(self, key: str, limit: Limit, cost: int = 1) -> Decision:
        [only] = await self.take_all((Take(key=key, limit=limit, cost=cost),))
        return only

    async def take_all(self, takes: Sequence[Take]) -> tuple[Decision, ...]:
        require_distinct(takes)
        if not takes:
            return ()
        keys = [f"{PREFIX}{each.limit.name}:{each.key}" for each in takes]
        numbers = [n for each in takes for n in (each.limit.interval_us, each.limit.burst, each.cost)]
        now = "" if self._clock_us is None else self._clock_us()
        told = await self._sent([len(keys), *keys, now, *numbers])
        return tuple(_decision(*told[at : at + 4]) for at in range(0, len(told), 4))

    async def _sent(self, arguments: list[Any]) -> list[int]:
        answered: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((arguments, answered))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await answered

    async def _send_all(self) -> None:
        calls: list[_Call] = []
        try:
            while self._waiting:
                calls, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
                async with asyncio.timeout(self._timeout_s):
                    answers = await self._answers([arguments for arguments, _ in calls])
                for (_, answered), answer in zip(calls, answers, strict=True):
                    if answered.done():
                        continue  # whoever asked has gone
                    if isinstance(answer, list):
                        answered.set_result(answer)
                    else:
                        answered.set_exception(LimitsUnavailable(type(answer).__name__))
        except (RedisError, OSError) as error:
            self._give_up(calls, type(error).__name__)
        finally:
            self._give_up(calls, "stopped")
            self._sender = None

    def _give_up(self, calls: list[_Call], reason: str) -> None:
        # Those that wait too: the server would let them wait as long as the first.
        waiting, self._waiting = self._waiting, []
        for _, answered in [*calls, *waiting]:
            if not answered.done():
                answered.set_exception(LimitsUnavailable(reason))

    async def _answers(self, calls: list[list[Any]]) -> list[Any]:
        """An answer or an error for each."""
        answers = await self._evaluated(calls)
        unknown = [at for at, each in enumerate(answers) if isinstance(each, NoScriptError)]
        if unknown:
            # The server has started anew, or has never seen the script.
            await self._redis.script_load(self._script)
            again = await self._evaluated([calls[at] for at in unknown])
            for at, answer in zip(unknown, again, strict=True):
                answers[at] = answer
        return answers

    async def _evaluated(self, calls: list[list[Any]]) -> list[Any]:
        if len(calls) == 1:
            try:
                return [await self._redis.evalsha(self._script_id, *calls[0])]
            except ResponseError as error:
                return [error]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for arguments in calls:
                pipeline.evalsha(self._script_id, *arguments)
            return await pipeline.execute(raise_on_error=False)


def _decision(allowed: int, remaining: int, wait_us: int, reset_us: int) -> Decision:
    return Decision(
        allowed=bool(allowed),
        remaining=remaining,
        retry_after_s=wait_us / MICROSECONDS,
        reset_after_s=reset_us / MICROSECONDS,
    )
