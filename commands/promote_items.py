"""Decide upon a calibration: by which rules items are judged, and which parameters exams are to use."""

import msgspec

from commands.calibrate_bank import owner_or_operated
from commands.context import CommandContext
from commands.kinds import ITEM_BANK
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.identifiers import StreamId
from domain.items.bank import BankState, promote, set_rules
from domain.items.calibration import CalibrationRules


class PromoteItems(msgspec.Struct, frozen=True, kw_only=True):
    bank_id: StreamId
    calibration_id: str
    item_ids: tuple[StreamId, ...]
    reason: str
    expected_version: int | None = None


class SetCalibrationRules(msgspec.Struct, frozen=True, kw_only=True):
    bank_id: StreamId
    rules: CalibrationRules
    expected_version: int | None = None


async def promote_items(
    write: WriteSide, context: CommandContext, command: PromoteItems
) -> Outcome[BankState]:
    """Exams published from now on use what the newest calibration found; older ones keep what they pinned.

    Raises `ItemBankNotFound`, `CalibrationNotFound`, `CalibrationSuperseded`, `NothingToPromote`,
    `StaleVersion`.
    """
    owner = await owner_or_operated(write, context, command.bank_id)
    return await write.streams.execute(
        context.within(owner.zone_id, owner.org_id),
        ITEM_BANK,
        command.bank_id,
        lambda state: promote(
            state,
            command.calibration_id,
            command.item_ids,
            command.reason,
            automatic=context.actor.kind == "clock",
        ),
        expected_version=command.expected_version,
    )


async def set_calibration_rules(
    write: WriteSide, context: CommandContext, command: SetCalibrationRules
) -> Outcome[BankState]:
    """Raises `ItemBankNotFound`, `UnusableRules`, `StaleVersion`."""
    owner = await owner_or_operated(write, context, command.bank_id)
    return await write.streams.execute(
        context.within(owner.zone_id, owner.org_id),
        ITEM_BANK,
        command.bank_id,
        lambda state: set_rules(state, command.rules),
        expected_version=command.expected_version,
    )
