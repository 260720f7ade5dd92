"""Write items: a bank, a new item in it, a new version of an item."""

import msgspec

from commands.context import CommandContext
from commands.kinds import ITEM, ITEM_BANK
from commands.streams import Outcome, Owner
from commands.write_side import WriteSide
from domain.identifiers import StreamId, stream_id
from domain.items.bank import Bank, BankState, ItemBankNotFound, create_bank
from domain.items.content import ItemContent
from domain.items.item import ItemExists, ItemNotFound, ItemState, Written, create_item, revise_item

ITEM_CODE_SCOPE = "item_code"


def item_code_key(bank_id: StreamId, code: str) -> str:
    return f"{bank_id}|{code}"


class CreateItemBank(msgspec.Struct, frozen=True, kw_only=True):
    org_id: StreamId
    name: str
    description: str = ""


class CreateItem(msgspec.Struct, frozen=True, kw_only=True):
    bank_id: StreamId
    code: str
    content: ItemContent


class ReviseItem(msgspec.Struct, frozen=True, kw_only=True):
    item_id: StreamId
    content: ItemContent
    expected_version: int | None = None


async def create_item_bank(
    write: WriteSide, context: CommandContext, command: CreateItemBank
) -> Outcome[BankState]:
    context.require_staff_of(command.org_id, ItemBankNotFound)
    return await write.streams.execute(
        context.within(context.zone_id, command.org_id),
        ITEM_BANK,
        stream_id("item_bank", context.command_id),
        lambda state: create_bank(state, command.name, command.description),
    )


async def owner_of_bank(write: WriteSide, context: CommandContext, bank_id: StreamId) -> Owner:
    """Raises `ItemBankNotFound`, also where the bank is somebody else's."""
    bank = await write.streams.read(ITEM_BANK, bank_id)
    if not isinstance(bank.state, Bank):
        raise ItemBankNotFound
    context.require_staff_of(bank.owner.org_id, ItemBankNotFound)
    return bank.owner


async def create_new_item(
    write: WriteSide, context: CommandContext, command: CreateItem
) -> Outcome[ItemState]:
    """Raises `ItemBankNotFound`, `UnusableItem`, or `ItemExists` where the code is taken."""
    owner = await owner_of_bank(write, context, command.bank_id)
    wanted = stream_id("item", context.command_id)
    key = item_code_key(command.bank_id, command.code)
    [item_id] = await write.claims.claim(ITEM_CODE_SCOPE, [key], [wanted])
    try:
        return await write.streams.execute(
            context.within(owner.zone_id, owner.org_id),
            ITEM,
            item_id,
            lambda state: create_item(state, command.bank_id, command.code, command.content),
        )
    except ItemExists:
        raise ItemExists(item_code=command.code, item_id=item_id) from None


async def revise(write: WriteSide, context: CommandContext, command: ReviseItem) -> Outcome[ItemState]:
    """Raises `ItemNotFound`, `UnusableItem`, or `StaleVersion` where a version was expected."""
    item = await write.streams.peek(ITEM, command.item_id)
    if not isinstance(item.state, Written):
        raise ItemNotFound
    context.require_staff_of(item.owner.org_id, ItemNotFound)
    return await write.streams.execute(
        context.within(item.owner.zone_id, item.owner.org_id),
        ITEM,
        command.item_id,
        lambda state: revise_item(state, command.content),
        expected_version=command.expected_version,
    )
