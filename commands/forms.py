"""Published forms with their pinned items. Neither ever changes, so each is read once."""

import asyncio
from collections import OrderedDict
from datetime import datetime
from typing import assert_never
from weakref import WeakValueDictionary

from commands.kinds import EXAM, ITEM
from commands.streams import Streams
from domain.cat.live.engine import LiveTest
from domain.exams.events import Blueprint, FormItem
from domain.exams.exam import Closed, Draft, ExamNotFound, ExamNotPublished, Nothing, Published
from domain.exams.form import Form, PinnedItem
from domain.identifiers import StreamId
from domain.items.item import ItemNotFound, Unwritten, Written

CLOSED_IS_SEEN_AFTER_S = 1.0
"""How long another process may go on taking answers after an exam was closed."""

READ_AT_ONCE = 32


class Forms:
    """Forms by exam. Holds at most `cache_size` of them in memory."""

    def __init__(self, streams: Streams, cache_size: int = 200) -> None:
        self._streams = streams
        self._cache: OrderedDict[StreamId, Form] = OrderedDict()
        self._cache_size = cache_size
        self._turns: WeakValueDictionary[StreamId, asyncio.Lock] = WeakValueDictionary()
        self._open_at: OrderedDict[StreamId, datetime] = OrderedDict()

    async def published(self, exam_id: StreamId) -> Form:
        """The form of a published or closed exam; raises `ExamNotFound` or `ExamNotPublished`."""
        form = self._cached(exam_id)
        if form is not None:
            return form
        turn = self._turns.get(exam_id)
        if turn is None:
            turn = self._turns[exam_id] = asyncio.Lock()
        # A class begins at once: one of them assembles the form, the others wait for it.
        async with turn:
            return self._cached(exam_id) or await self._read(exam_id)

    async def is_closed(self, exam_id: StreamId, now: datetime) -> bool:
        """Whether the exam is closed, as known a second ago at the latest.

        An answer need not ask the log each time: here a close is known at once where this process did it.
        """
        known = (await self._streams.peek(EXAM, exam_id)).state
        looked_at = self._open_at.get(exam_id)
        if not isinstance(known, Closed) and (
            looked_at is None or not 0 <= (now - looked_at).total_seconds() < CLOSED_IS_SEEN_AFTER_S
        ):
            known = (await self._streams.read(EXAM, exam_id)).state
            self._open_at[exam_id] = now
            self._open_at.move_to_end(exam_id)
            while len(self._open_at) > self._cache_size:
                self._open_at.popitem(last=False)
        return isinstance(known, Closed)

    def _cached(self, exam_id: StreamId) -> Form | None:
        form = self._cache.get(exam_id)
        if form is not None:
            self._cache.move_to_end(exam_id)
        return form

    async def _read(self, exam_id: StreamId) -> Form:
        exam = (await self._streams.read(EXAM, exam_id)).state
        match exam:
            case Nothing():
                raise ExamNotFound
            case Draft():
                raise ExamNotPublished
            case Published() | Closed():
                form = await self._assembled(exam.blueprint)
        self._cache[exam_id] = form
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return form

    async def _assembled(self, blueprint: Blueprint) -> Form:
        pinned: list[PinnedItem] = []
        # After a restart none of a pool of thousands is known here.
        for first in range(0, len(blueprint.items), READ_AT_ONCE):
            portion = blueprint.items[first : first + READ_AT_ONCE]
            pinned += await asyncio.gather(*map(self._pinned, portion))
        return Form(pinned, await _test_of(blueprint))

    async def _pinned(self, on_form: FormItem) -> PinnedItem:
        item = (await self._streams.peek(ITEM, on_form.item_id)).state
        if isinstance(item, Written) and item.item_version < on_form.item_version:
            item = (await self._streams.read(ITEM, on_form.item_id)).state
        match item:
            case Unwritten():
                raise ItemNotFound(item_id=on_form.item_id)
            case Written():
                content = item.content(on_form.item_version)
            case _:
                assert_never(item)
        return PinnedItem(on_form.item_id, on_form.item_version, content)


async def _test_of(blueprint: Blueprint) -> LiveTest | None:
    if blueprint.adaptive is None:
        return None
    assert blueprint.pool is not None, "an adaptive exam is published with its pool"
    # Tables for a large pool take a moment, in which others are answered.
    return await asyncio.to_thread(LiveTest, blueprint.adaptive, blueprint.pool, blueprint.items)
