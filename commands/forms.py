"""Published forms with their pinned items. Neither ever changes, so each is read once."""

import asyncio
from collections import OrderedDict
from datetime import datetime

from commands.kinds import EXAM, ITEM
from commands.streams import Streams
from domain.cat.live.engine import LiveTest
from domain.exams.events import Blueprint
from domain.exams.exam import Closed, Draft, ExamNotFound, ExamNotPublished, Nothing, Published
from domain.exams.form import Form, PinnedItem
from domain.identifiers import StreamId
from domain.items.item import ItemNotFound, Unwritten, Written

CLOSED_IS_SEEN_AFTER_S = 1.0
"""How long another process may go on taking answers after an exam was closed."""


class Forms:
    """Forms by exam. Holds at most `cache_size` of them in memory."""

    def __init__(self, streams: Streams, cache_size: int = 200) -> None:
        self._streams = streams
        self._cache: OrderedDict[StreamId, Form] = OrderedDict()
        self._cache_size = cache_size
        self._open_at: OrderedDict[StreamId, datetime] = OrderedDict()

    async def published(self, exam_id: StreamId) -> Form:
        """The form of a published or closed exam; raises `ExamNotFound` or `ExamNotPublished`."""
        form = self._cache.get(exam_id)
        if form is not None:
            self._cache.move_to_end(exam_id)
            return form
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

    async def _assembled(self, blueprint: Blueprint) -> Form:
        pinned: list[PinnedItem] = []
        for on_form in blueprint.items:
            item = (await self._streams.peek(ITEM, on_form.item_id)).state
            if isinstance(item, Written) and item.item_version < on_form.item_version:
                item = (await self._streams.read(ITEM, on_form.item_id)).state
            match item:
                case Unwritten():
                    raise ItemNotFound(item_id=on_form.item_id)
                case Written():
                    content = item.content(on_form.item_version)
            pinned.append(PinnedItem(on_form.item_id, on_form.item_version, content))
        return Form(pinned, await _test_of(blueprint))


async def _test_of(blueprint: Blueprint) -> LiveTest | None:
    if blueprint.adaptive is None:
        return None
    assert blueprint.pool is not None, "an adaptive exam is published with its pool"
    # Tables for a large pool take a moment, in which others are answered.
    return await asyncio.to_thread(LiveTest, blueprint.adaptive, blueprint.pool, blueprint.items)
