"""What the items of an adaptive exam are at the moment when it is published."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from commands.kinds import EXAM, ITEM, ITEM_BANK
from commands.write_side import WriteSide
from domain.exams.adaptive import Pool, PooledItem
from domain.exams.events import Blueprint, FormItem
from domain.exams.exam import Closed, Published, UnusableBlueprint
from domain.identifiers import StreamId
from domain.items.bank import Bank
from domain.items.item import ItemNotFound, Written

Pinned: TypeAlias = Mapping[tuple[StreamId, int], tuple[float, float, float, float] | None]
"""By item version: the parameters with which it was pinned; None: as a pretest item."""

PinnedByExam: TypeAlias = Mapping[StreamId, Pinned]


def pinned_in(pool: Pool, items: Sequence[FormItem]) -> Pinned:
    return {
        (item.item_id, item.item_version): pooled.parameters
        for item, pooled in zip(items, pool.items, strict=True)
    }


async def pool_of(write: WriteSide, blueprint: Blueprint) -> Pool:
    """Parameters and areas of the items, and the version of their bank.

    An item that was calibrated from live responses has the parameters promoted since, whatever its author
    gave it.

    Raises `UnusableBlueprint` where the items are of several banks, or where ability is to be carried over
    from an exam that is not adaptive, not published, or on another bank's scale.
    """
    items = [await _written(write, picked) for picked in blueprint.items]
    bank_id = items[0].bank_id
    bank = (await write.streams.read(ITEM_BANK, bank_id)).state
    assert isinstance(bank, Bank)
    detail = "The items of an adaptive exam are of one bank: they must be on one scale."
    faults = [
        {"pointer": f"/items/{index}", "code": "another-bank", "detail": detail}
        for index, item in enumerate(items)
        if item.bank_id != bank_id
    ]
    if faults:
        raise UnusableBlueprint(errors=faults)
    promoted = bank.parameters_of()
    pooled = []
    for picked, item in zip(blueprint.items, items, strict=True):
        content = item.content(picked.item_version)
        irt = promoted.get((picked.item_id, picked.item_version), content.irt)
        parameters = None if irt is None else (irt.a, irt.b, irt.c, irt.d)
        pooled.append(PooledItem(content.content_area, parameters))
    pool = Pool(bank_id=bank_id, bank_version=bank.bank_version, items=tuple(pooled))
    await _refuse_other_scale(write, blueprint, pool)
    return pool


async def _written(write: WriteSide, picked: FormItem) -> Written:
    """The item with at least that version; an older state does where it has it. Raises `ItemNotFound`."""
    item = (await write.streams.peek(ITEM, picked.item_id)).state
    if isinstance(item, Written) and item.item_version < picked.item_version:
        item = (await write.streams.read(ITEM, picked.item_id)).state
    if not isinstance(item, Written):
        raise ItemNotFound(item_id=picked.item_id)
    return item


async def _refuse_other_scale(write: WriteSide, blueprint: Blueprint, pool: Pool) -> None:
    carried = None if blueprint.adaptive is None else blueprint.adaptive.carry_over
    if carried is None:
        return
    earlier = (await write.streams.read(EXAM, carried.exam_id)).state
    known = earlier.blueprint.pool if isinstance(earlier, Published | Closed) else None
    if known is None or known.bank_id != pool.bank_id:
        detail = "Ability is carried over from a published adaptive exam on the same bank."
        pointer = "/adaptive/carry_over/exam_id"
        raise UnusableBlueprint(errors=[{"pointer": pointer, "code": "another-scale", "detail": detail}])
