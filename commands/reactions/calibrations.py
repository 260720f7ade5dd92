"""What the schedule does: calibrates banks that have news, and promotes where the bank's rules say so."""

from collections.abc import Sequence

import msgspec

from commands.calibrate_bank import BankCalibrations, CalibrateBank
from commands.context import CommandContext
from commands.kinds import ITEM_BANK
from commands.promote_items import PromoteItems, promote_items
from commands.write_side import WriteSide
from domain.errors import DomainError
from domain.events import Actor
from domain.identifiers import StreamId
from domain.items.bank import Bank

REASON = "The bank's rules promote what is proposed."


class BanksCalibrated(msgspec.Struct, frozen=True):
    """What was done, and what could not be done and why."""

    calibrated: tuple[StreamId, ...]
    failed: tuple[tuple[StreamId, DomainError], ...]


async def calibrate_banks_with_news(write: WriteSide, calibrations: BankCalibrations) -> BanksCalibrated:
    """Each bank that enough examinees have been tested with since its last calibration.

    Enough is what the bank's rules want for any calibration. What fails holds up no other bank.
    """
    calibrated: list[StreamId] = []
    failed: list[tuple[StreamId, DomainError]] = []
    for bank_id in await calibrations.live.banks():
        try:
            if await _has_news(write, calibrations, bank_id):
                await _calibrate(write, calibrations, bank_id)
                calibrated.append(bank_id)
        except DomainError as error:
            failed.append((bank_id, error))
    return BanksCalibrated(tuple(calibrated), tuple(failed))


async def _has_news(write: WriteSide, calibrations: BankCalibrations, bank_id: StreamId) -> bool:
    bank = (await write.streams.read(ITEM_BANK, bank_id)).state
    if not isinstance(bank, Bank):
        return False
    since = None if bank.calibration is None else bank.calibration.to
    return await calibrations.live.attempts_since(bank_id, since) >= bank.rules.min_examinees


async def _calibrate(write: WriteSide, calibrations: BankCalibrations, bank_id: StreamId) -> None:
    context = _by_the_schedule(write)
    found = (await calibrations.calibrate(write, context, CalibrateBank(bank_id=bank_id))).calibration
    proposed: Sequence[StreamId] = [each.item_id for each in found.items if each.proposal == "promote"]
    if found.rules.promotes_automatically and proposed:
        command = PromoteItems(
            bank_id=bank_id, calibration_id=found.calibration_id, item_ids=tuple(proposed), reason=REASON
        )
        await promote_items(write, _by_the_schedule(write).following(context.correlation_id), command)


def _by_the_schedule(write: WriteSide) -> CommandContext:
    command_id = write.new_id()
    return CommandContext(
        actor=Actor("clock", "calibrations"),
        zone_id=None,
        org_id=None,
        correlation_id=command_id,
        command_id=command_id,
    )
