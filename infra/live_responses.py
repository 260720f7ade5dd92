"""What examinees answered in adaptive exams, from the read models."""

from array import array
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from commands.live_responses import LiveSittings, PresentedItem
from domain.identifiers import StreamId
from infra.claims import Pool

_RESPONSES: Final = """
    WITH chosen AS (
        SELECT a.attempt_id, a.exam_id, a.submitted_at
        FROM read.attempts a JOIN read.exams e USING (exam_id)
        WHERE e.bank_id = %(bank)s AND e.delivery = 'adaptive' AND a.status = 'scored' AND a.ordinal = 1
        ORDER BY a.submitted_at DESC, a.attempt_id LIMIT %(most)s
    )
    SELECT c.attempt_id, c.exam_id, c.submitted_at, s.item_id, s.item_version, s.is_right
    FROM chosen c JOIN read.attempt_steps s USING (attempt_id)
    WHERE s.is_right IS NOT NULL
    ORDER BY c.submitted_at DESC, c.attempt_id, s.step
"""

_ATTEMPTS_SINCE: Final = """
    SELECT count(*) FROM read.attempts a JOIN read.exams e USING (exam_id)
    WHERE e.bank_id = %(bank)s AND e.delivery = 'adaptive' AND a.status = 'scored' AND a.ordinal = 1
      AND (%(since)s::timestamptz IS NULL OR a.submitted_at > %(since)s)
"""

_AT_A_TIME: Final = 20_000


class ReadModelLiveResponses:
    """`commands.live_responses.LiveResponses` over the read models, as the projector's role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of_bank(self, bank_id: StreamId, *, most: int) -> LiveSittings:
        gathered = _Gathered()
        # In portions from the server: names become numbers before the next one comes.
        async with (
            self._pool.connection() as connection,
            connection.transaction(),
            connection.cursor(name="live_responses") as cursor,
        ):
            cursor.itersize = _AT_A_TIME
            await cursor.execute(_RESPONSES, {"bank": bank_id, "most": most})
            async for row in cursor:
                gathered.add(*row)
        return gathered.sittings()

    async def banks(self) -> Sequence[StreamId]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT DISTINCT bank_id FROM read.exams WHERE bank_id IS NOT NULL ORDER BY bank_id"
            )
            return [str(bank_id) for (bank_id,) in await found.fetchall()]

    async def attempts_since(self, bank_id: StreamId, since: datetime | None) -> int:
        async with self._pool.connection() as connection:
            found = await connection.execute(_ATTEMPTS_SINCE, {"bank": bank_id, "since": since})
            row = await found.fetchone()
            assert row is not None
            return int(row[0])


class _Gathered:
    """Responses as they come from the database, names as numbers at once: there are few items."""

    def __init__(self) -> None:
        self._items: dict[PresentedItem, int] = {}
        self._exams: dict[str, int] = {}
        self._attempt: str | None = None
        self._presented, self._exam_of = array("q"), array("q")
        self._right = bytearray()
        self._lengths = array("q")
        self._newest: datetime | None = None
        self._oldest: datetime | None = None

    def add(  # noqa: PLR0913, PLR0917 - the columns of a row
        self,
        attempt_id: str,
        exam_id: str,
        submitted_at: datetime,
        item_id: str,
        item_version: int,
        right: bool,
    ) -> None:
        if attempt_id != self._attempt:
            self._attempt = attempt_id
            self._exam_of.append(self._exams.setdefault(exam_id, len(self._exams)))
            self._lengths.append(0)
            self._newest = self._newest or submitted_at
            self._oldest = submitted_at
        item = PresentedItem(exam_id, item_id, item_version)
        self._presented.append(self._items.setdefault(item, len(self._items)))
        self._right.append(right)
        self._lengths[-1] += 1

    def sittings(self) -> LiveSittings:
        lengths = _numbers(self._lengths)
        longest = int(lengths.max(initial=0))
        filled = np.arange(longest) < lengths[:, np.newaxis]
        presented = np.full(filled.shape, -1, dtype=np.int64)
        right = np.zeros(filled.shape, dtype=np.bool_)
        presented[filled] = _numbers(self._presented)
        right[filled] = np.frombuffer(bytes(self._right), dtype=np.bool_)
        ends = None if self._oldest is None or self._newest is None else (self._oldest, self._newest)
        return LiveSittings(
            items=tuple(self._items),
            exam_ids=tuple(self._exams),
            presented=presented,
            right=right,
            exams=_numbers(self._exam_of),
            submitted_at=ends,
        )


def _numbers(values: "array[int]") -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
