"""Author an exam: draft it, publish it, close it, release its results."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from commands.context import CommandContext
from commands.kinds import EXAM, ITEM
from commands.pools import pool_of
from commands.ports import VersionConflict
from commands.streams import Loaded, Outcome
from commands.write_side import WriteSide
from domain.cat.errors import CatError
from domain.cat.live.engine import LiveTest
from domain.events import Event
from domain.exams import exam
from domain.exams.adaptive import Pool, faults_in_pool
from domain.exams.events import Blueprint, FormItem
from domain.exams.exam import Draft, Exam, ExamNotFound, UnusableBlueprint
from domain.identifiers import StreamId, stream_id
from domain.items.item import ItemState, Written

READ_AT_ONCE = 32


class Pick(msgspec.Struct, frozen=True):
    """An item for the form; without a version the newest one is pinned."""

    item_id: StreamId
    item_version: int | None = None


class DraftExam(msgspec.Struct, frozen=True, kw_only=True):
    """`blueprint` comes without items: they are what `picks` say."""

    org_id: StreamId
    blueprint: Blueprint
    picks: tuple[Pick, ...]


class RedraftExam(msgspec.Struct, frozen=True, kw_only=True):
    exam_id: StreamId
    blueprint: Blueprint
    picks: tuple[Pick, ...]
    expected_version: int | None = None


async def draft_exam(write: WriteSide, context: CommandContext, command: DraftExam) -> Outcome[Exam]:
    """Raises `UnusableBlueprint`, also where an item does not exist or is another organisation's."""
    context.require_staff_of(command.org_id, ExamNotFound)
    blueprint = await _with_items(write, command.org_id, command.blueprint, command.picks)
    return await write.streams.execute(
        context.within(context.zone_id, command.org_id),
        EXAM,
        stream_id("exam", context.command_id),
        lambda state: exam.draft(state, blueprint, new=True),
    )


async def redraft_exam(write: WriteSide, context: CommandContext, command: RedraftExam) -> Outcome[Exam]:
    """Raises `ExamNotFound`, `ExamNotDraft`, `UnusableBlueprint`, `StaleVersion`."""
    loaded = await write.streams.read(EXAM, command.exam_id)
    context.require_staff_of(loaded.owner.org_id, ExamNotFound)
    assert loaded.owner.org_id is not None
    blueprint = await _with_items(write, loaded.owner.org_id, command.blueprint, command.picks)
    return await _on_exam(
        write,
        context,
        command.exam_id,
        lambda state: exam.draft(state, blueprint, new=False),
        command.expected_version,
    )


async def publish_exam(
    write: WriteSide, context: CommandContext, exam_id: StreamId, expected_version: int | None = None
) -> Outcome[Exam]:
    """Raises `ExamNotFound`, `ExamIsClosed`, `ExamWindowOver`, `StaleVersion`.

    Of an adaptive exam the parameters of its items are pinned as they are now; raises `UnusableBlueprint`
    where its rules cannot be met with them.
    """
    loaded = await write.streams.read(EXAM, exam_id)
    context.require_staff_of(loaded.owner.org_id, ExamNotFound)
    drafted = loaded.state.blueprint if isinstance(loaded.state, Draft) else None
    pool = None if drafted is None or drafted.adaptive is None else await pool_of(write, drafted)
    if drafted is not None and pool is not None:
        await _try_out(drafted, pool)

    def decide(state: Exam) -> Sequence[Event]:
        if isinstance(state, Draft) and state.blueprint != drafted:
            # The pool is that of another draft.
            raise VersionConflict(stream_id=exam_id)
        return exam.publish(state, write.clock(), pool)

    return await _on_exam(write, context, exam_id, decide, expected_version)


async def close_exam(write: WriteSide, context: CommandContext, exam_id: StreamId) -> Outcome[Exam]:
    """Raises `ExamNotFound`, `ExamNotPublished`. What runs is handed in by the deadline reaction."""
    by_clock = context.actor.kind == "clock"
    return await _on_exam(write, context, exam_id, lambda state: exam.close(state, by_clock=by_clock))


async def release_results(write: WriteSide, context: CommandContext, exam_id: StreamId) -> Outcome[Exam]:
    """Raises `ExamNotFound`, `ExamNotPublished`."""
    return await _on_exam(write, context, exam_id, exam.release_results)


async def _try_out(blueprint: Blueprint, pool: Pool) -> None:
    """Raises `UnusableBlueprint` where no test can be made by the rules."""
    assert blueprint.adaptive is not None
    exam.refuse(faults_in_pool(blueprint.adaptive, pool))
    try:
        await asyncio.to_thread(LiveTest, blueprint.adaptive, pool, blueprint.items)
    except CatError as error:
        fault = {"pointer": "/adaptive/constraints", "code": error.code, "detail": error.detail()}
        raise UnusableBlueprint(errors=[fault]) from error


async def _on_exam(
    write: WriteSide,
    context: CommandContext,
    exam_id: StreamId,
    decide: Callable[[Exam], Sequence[Event]],
    expected_version: int | None = None,
) -> Outcome[Exam]:
    loaded = await write.streams.peek(EXAM, exam_id)
    if context.actor.kind == "clock":
        context = context.following(loaded.owner.correlation_id)
    else:
        context.require_staff_of(loaded.owner.org_id, ExamNotFound)
    return await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id),
        EXAM,
        exam_id,
        decide,
        expected_version=expected_version,
    )


async def _with_items(
    write: WriteSide, org_id: StreamId, blueprint: Blueprint, picks: Sequence[Pick]
) -> Blueprint:
    """Raises `UnusableBlueprint` where a pick is not an item, or not a version, of the organisation."""
    faults = await _faults_in_carry_over(write, org_id, blueprint)
    items: list[FormItem] = []
    known = await _read_items(write, picks)
    for index, (pick, item) in enumerate(zip(picks, known, strict=True)):
        if not isinstance(item.state, Written) or item.owner.org_id != org_id:
            fault = ("item_id", "unknown-item", "Your organisation has no such item.")
        elif not 1 <= (pick.item_version or 1) <= item.state.item_version:
            fault = ("item_version", "unknown-version", f"The newest version is {item.state.item_version}.")
        else:
            items.append(FormItem(pick.item_id, pick.item_version or item.state.item_version))
            continue
        field, code, detail = fault
        faults.append({"pointer": f"/items/{index}/{field}", "code": code, "detail": detail})
    if faults:
        raise UnusableBlueprint(errors=faults)
    return msgspec.structs.replace(blueprint, items=tuple(items))


async def _faults_in_carry_over(
    write: WriteSide, org_id: StreamId, blueprint: Blueprint
) -> list[dict[str, str]]:
    carried = None if blueprint.adaptive is None else blueprint.adaptive.carry_over
    if carried is None or (await write.streams.read(EXAM, carried.exam_id)).owner.org_id == org_id:
        return []
    detail = "Your organisation has no such exam."
    return [{"pointer": "/adaptive/carry_over/exam_id", "code": "unknown-exam", "detail": detail}]


async def _read_items(write: WriteSide, picks: Sequence[Pick]) -> list[Loaded[ItemState]]:
    """A pool is large, and its items lie in streams of their own: so many are read at once."""
    found: list[Loaded[ItemState]] = []
    for first in range(0, len(picks), READ_AT_ONCE):
        portion = picks[first : first + READ_AT_ONCE]
        found += await asyncio.gather(*(write.streams.read(ITEM, pick.item_id) for pick in portion))
    return found
