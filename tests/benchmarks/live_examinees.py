"""Examinees at adaptive tests over HTTP, each with a pace of their own: a client that costs little.

    python -m tests.benchmarks.live_examinees PLAN.json RESULT.json

The plan: `host`, `port`, `sittings` (for each examinee `attempt_id`, `token` and the pending `item_id`),
`rate` (responses a second of all of them together) and `seconds`. Each examinee answers when it is due,
whatever the answer before took (an open loop; the starts are spread evenly), and waits until the next item is
there: in the answer itself or, where that says 202, by a long poll.

The result: `answered`, `per_second`, `polled` (how many had to ask), `p50_ms`, `p99_ms`, `max_ms` from the
moment at which a response was due to the next item, and the `sittings` as they stand then.
"""

import asyncio
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop


class Link(asyncio.Protocol):
    """One request at a time; answers have a Content-Length."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answered: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or self._answered is None:
            return
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self._buffer = body[length:]
            self._answered.set_result((int(head[9:12]), body[:length]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError("the server hung up"))


@dataclass
class Seen:
    latencies_s: list[float] = field(default_factory=list)
    polled: int = 0


@dataclass
class Examinee:
    link: Link
    attempt_id: str
    token: str
    item_id: str

    async def answer(self, option: str, seen: Seen) -> None:
        """Returns when the next item is there."""
        body = json.dumps({"response": {"options": [option]}})
        path = f"/api/v1/attempts/{self.attempt_id}"
        status, found = await self._ask("PUT", f"{path}/responses/{self.item_id}", body)
        coming = json.loads(found)
        if status in {200, 202}:
            coming = coming["next"]
        while status == 202:
            seen.polled += 1
            status, found = await self._ask("GET", f"{path}/next?wait_s=30")
            coming = json.loads(found)
        assert status == 200, found
        assert coming["status"] == "item", coming
        self.item_id = coming["item"]["item_id"]

    def _ask(self, method: str, path: str, body: str = "") -> "asyncio.Future[tuple[int, bytes]]":
        lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {self.token}"]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return self.link.ask(("\r\n".join(lines) + "\r\n\r\n" + body).encode())


async def drive(plan: dict[str, Any]) -> dict[str, Any]:
    loop, seen = asyncio.get_running_loop(), Seen()
    examinees = [
        Examinee((await loop.create_connection(Link, plan["host"], plan["port"]))[1], **sitting)
        for sitting in plan["sittings"]
    ]
    every_s = len(examinees) / plan["rate"]
    started = perf_counter()
    ends = started + plan["seconds"]

    async def take(examinee: Examinee, number: int) -> None:
        due, turn = started + every_s * number / len(examinees), number
        while due < ends:
            if (wait_s := due - perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            turn += 1
            await examinee.answer("12"[turn % 2], seen)
            # Who was late with the answer before has kept this one waiting.
            seen.latencies_s.append(perf_counter() - due)
            due += every_s

    await asyncio.gather(*(take(examinee, number) for number, examinee in enumerate(examinees)))
    took_s = perf_counter() - started
    latencies = sorted(seen.latencies_s)
    return {
        "answered": len(latencies),
        "per_second": len(latencies) / took_s,
        "polled": seen.polled,
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[int(len(latencies) * 0.99)],
        "max_ms": 1000 * latencies[-1],
        "sittings": [
            {"attempt_id": each.attempt_id, "token": each.token, "item_id": each.item_id}
            for each in examinees
        ],
    }


if __name__ == "__main__":
    plan_file, result_file = map(Path, sys.argv[1:])
    result_file.write_text(
        json.dumps(uvloop.run(drive(json.loads(plan_file.read_bytes())))), encoding="utf-8"
    )
