"""Sends requests over keep-alive connections and notes how long each took: a client that costs little.

    python -m tests.benchmarks.http_load < plan.json > result.json

The plan: `host`, `port`, `connections` (a list of lists of whole requests as text; each connection sends its
own list round and round), `seconds`, and `every_s` (a pause between two requests of a connection, with the
starts spread evenly; 0 sends the next as soon as the answer is there). The result: `answered`, `per_second`,
`statuses`, and the latencies `p50_ms`, `p99_ms`, `max_ms`.
"""

import asyncio
import json
import sys
from collections import Counter
from itertools import cycle
from time import perf_counter
from typing import Any

import uvloop


class Connection(asyncio.Protocol):
    """One request at a time; answers have a Content-Length."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answered: asyncio.Future[int] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: bytes) -> "asyncio.Future[int]":
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        length = int(lowered.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < length or self._answered is None:
            return
        self._buffer = body[length:]
        self._answered.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError("the server hung up"))


async def drive(plan: dict[str, Any]) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    lists = [[request.encode() for request in requests] for requests in plan["connections"]]
    links = [(await loop.create_connection(Connection, plan["host"], plan["port"]))[1] for _ in lists]
    started = perf_counter()
    ends = started + plan["seconds"]
    every_s = plan["every_s"]

    async def go_on(link: Connection, requests: list[bytes], number: int) -> None:
        due = started + every_s * number / len(links)
        for request in cycle(requests):
            if every_s and (wait_s := due - perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            sent = perf_counter()
            if sent >= ends:
                return
            statuses[await link.send(request)] += 1
            # A request that was due and had to wait for its turn has waited.
            latencies.append(perf_counter() - (due if every_s else sent))
            due += every_s

    await asyncio.gather(
        *(go_on(*each, number) for number, each in enumerate(zip(links, lists, strict=True)))
    )
    took_s = perf_counter() - started
    latencies.sort()
    return {
        "answered": len(latencies),
        "per_second": len(latencies) / took_s,
        "statuses": dict(statuses),
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[int(len(latencies) * 0.99)],
        "max_ms": 1000 * latencies[-1],
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(drive(json.load(sys.stdin)))))
