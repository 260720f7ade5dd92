"""Calibrate a bank from live responses: record what its items show, and raise an alarm where they drift."""

import asyncio

import msgspec

from commands.context import CommandContext
from commands.kinds import EXAM, ITEM_BANK
from commands.live_responses import LiveResponses, LiveSittings
from commands.pools import Pinned, PinnedByExam, pinned_in
from commands.streams import Loaded, Owner
from commands.write_items import owner_of_bank
from commands.write_side import WriteSide
from domain.errors import IllegalState
from domain.exams.exam import Closed, Published
from domain.identifiers import StreamId
from domain.items.bank import Bank, BankState, ItemBankNotFound, record_calibration
from domain.items.events import BankCalibrated, DriftFound

MOST_EXAMINEES = 20_000


class TooFewExaminees(IllegalState):
    """Carries `examinees` and `needed`."""

    code = "too-few-examinees"
    title = "Too few examinees have taken adaptive exams of this item bank"


class CalibrateBank(msgspec.Struct, frozen=True, kw_only=True):
    """`dry_run`: only say what would be found."""

    bank_id: StreamId
    dry_run: bool = False


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """`version` is the bank's stream version; of a dry run the one it had before."""

    calibration: BankCalibrated
    alarms: DriftFound | None
    version: int
    recorded: bool


class BankCalibrations:
    """Calibrates banks, one at a time in this process: each takes a core and some memory."""

    def __init__(self, live: LiveResponses) -> None:
        self.live = live
        self._turn = asyncio.Lock()

    async def calibrate(
        self, write: WriteSide, context: CommandContext, command: CalibrateBank
    ) -> Calibrated:
        """Raises `ItemBankNotFound`, and `TooFewExaminees` where there is too little to learn from."""
        bank_id = command.bank_id
        owner = await owner_or_operated(write, context, bank_id)
        context = context.within(owner.zone_id, owner.org_id)
        async with self._turn:
            done = await write.streams.done_before(context, ITEM_BANK, bank_id)
            if done is not None:
                return _calibrated(done.events, done.version, recorded=True)
            loaded = await write.streams.read(ITEM_BANK, bank_id)
            calibration = await self._reviewed(write, context.command_id, bank_id, loaded)
        if command.dry_run:
            events = tuple(record_calibration(loaded.state, calibration))
            return _calibrated(events, loaded.version, recorded=False)
        outcome = await write.streams.execute(
            context, ITEM_BANK, bank_id, lambda state: record_calibration(state, calibration)
        )
        return _calibrated(outcome.events, outcome.version, recorded=True)

    async def _reviewed(
        self, write: WriteSide, calibration_id: str, bank_id: StreamId, loaded: Loaded[BankState]
    ) -> BankCalibrated:
        bank = loaded.state
        assert isinstance(bank, Bank)
        live = await self.live.of_bank(bank_id, most=MOST_EXAMINEES)
        if len(live.presented) < bank.rules.min_examinees:
            raise TooFewExaminees(examinees=len(live.presented), needed=bank.rules.min_examinees)
        pools = {exam_id: await _pinned(write, exam_id) for exam_id in live.exam_ids}
        return await asyncio.to_thread(_review_of, calibration_id, bank, live, pools)


def _review_of(calibration_id: str, bank: Bank, live: LiveSittings, pools: PinnedByExam) -> BankCalibrated:
    # The numerics that only this needs take longer to import than all else that a process starts with: they
    # are imported where nobody waits for them.
    from commands.bank_reviews import review_of

    return review_of(calibration_id, bank, live, pools)


async def owner_or_operated(write: WriteSide, context: CommandContext, bank_id: StreamId) -> Owner:
    """Whose bank it is: staff of its organisation, the schedule and operators may work on it.

    Raises `ItemBankNotFound`.
    """
    if context.actor.kind not in ("clock", "operator"):
        return await owner_of_bank(write, context, bank_id)
    bank = await write.streams.read(ITEM_BANK, bank_id)
    if not isinstance(bank.state, Bank):
        raise ItemBankNotFound
    return bank.owner


async def _pinned(write: WriteSide, exam_id: StreamId) -> Pinned:
    exam = (await write.streams.read(EXAM, exam_id)).state
    assert isinstance(exam, Published | Closed)
    assert exam.blueprint.pool is not None
    return pinned_in(exam.blueprint.pool, exam.blueprint.items)


def _calibrated(events: tuple[object, ...], version: int, *, recorded: bool) -> Calibrated:
    [calibration] = [each for each in events if isinstance(each, BankCalibrated)]
    alarms = next((each for each in events if isinstance(each, DriftFound)), None)
    return Calibrated(calibration=calibration, alarms=alarms, version=version, recorded=recorded)
