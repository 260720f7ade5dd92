"""Import items into a bank: all rows or none, and the same file twice changes nothing."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from commands.context import CommandContext
from commands.kinds import ITEM
from commands.ports import VersionConflict
from commands.streams import MAX_TRIES, NOBODY, Loaded
from commands.write_items import ITEM_CODE_SCOPE, item_code_key, owner_of_bank
from commands.write_side import WriteSide
from domain.errors import Malformed
from domain.events import Event
from domain.identifiers import StreamId, stream_id
from domain.items.content import ItemContent, faults_in
from domain.items.item import ItemState, Unwritten, Written, create_item, revise_item


class RowError(msgspec.Struct, frozen=True):
    pointer: str
    code: str
    detail: str


class ImportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row as it was read: its number in the file, and the item or what is wrong with it."""

    row: int
    code: str | None
    content: ItemContent | None
    errors: tuple[RowError, ...] = ()


class ImportItems(msgspec.Struct, frozen=True, kw_only=True):
    bank_id: StreamId
    rows: tuple[ImportRow, ...]
    dry_run: bool


class ImportedRow(msgspec.Struct, frozen=True, kw_only=True):
    """`version` is that of the item's stream, which an item version is only a part of."""

    row: int
    code: str | None
    status: Literal["created", "revised", "unchanged", "invalid"]
    item_id: StreamId | None = None
    item_version: int | None = None
    version: int = 0
    errors: tuple[RowError, ...] = ()


class RowsRefused(Malformed):
    """Carries `rows`, one entry for each row that is wrong. Nothing was written."""

    code = "rows-refused"
    title = "Some rows are wrong; nothing was imported"


async def import_items(write: WriteSide, context: CommandContext, command: ImportItems) -> list[ImportedRow]:
    """What became of each row. A dry run says what would, errors included, and writes nothing.

    Raises `ItemBankNotFound`, and `RowsRefused` where a row is wrong and it is not a dry run.
    """
    owner = await owner_of_bank(write, context, command.bank_id)
    rows = _with_duplicates_marked([_with_faults(row) for row in command.rows])
    wrong = [row for row in rows if row.errors]
    if wrong and not command.dry_run:
        raise RowsRefused(rows=[msgspec.to_builtins(_invalid(row)) for row in wrong])
    for _ in range(MAX_TRIES):
        places = await _places(write, command, rows)
        appends: list[tuple[StreamId, int, list[Event]]] = []
        report: list[ImportedRow] = []
        for row, (item_id, is_new) in zip(rows, places, strict=True):
            if row.errors:
                report.append(_invalid(row))
                continue
            assert row.code is not None
            assert row.content is not None
            item: Loaded[ItemState] = (
                Loaded(Unwritten(), 0, NOBODY)
                if item_id is None or is_new
                else await write.streams.read(ITEM, item_id)
            )
            events = (
                revise_item(item.state, row.content)
                if isinstance(item.state, Written)
                else create_item(item.state, command.bank_id, row.code, row.content)
            )
            report.append(_planned(row, item, item_id, events))
            if item_id is not None:
                appends.append((item_id, item.version, events))
        if command.dry_run:
            return report
        try:
            await write.streams.execute_many(context.within(owner.zone_id, owner.org_id), appends)
        except VersionConflict:
            continue
        return report
    raise VersionConflict(bank_id=command.bank_id)


async def _places(
    write: WriteSide, command: ImportItems, rows: Sequence[ImportRow]
) -> list[tuple[StreamId | None, bool]]:
    """The stream of each row's item, and whether it was claimed just now and so cannot exist yet.

    In a dry run nothing is claimed: None for what does not exist.
    """
    keys = [item_code_key(command.bank_id, row.code or "") for row in rows]
    if command.dry_run:
        return [
            (None if row.errors else await write.claims.holder(ITEM_CODE_SCOPE, key), False)
            for row, key in zip(rows, keys, strict=True)
        ]
    wanted = [stream_id("item", write.new_id()) for _ in rows]
    holders = await write.claims.claim(ITEM_CODE_SCOPE, keys, wanted)
    return [(holder, holder == mine) for holder, mine in zip(holders, wanted, strict=True)]


def _planned(
    row: ImportRow, item: Loaded[ItemState], item_id: StreamId | None, events: Sequence[Event]
) -> ImportedRow:
    status: Literal["created", "revised", "unchanged"]
    if isinstance(item.state, Written):
        status = "revised" if events else "unchanged"
        item_version = item.state.item_version + len(events)
    else:
        status, item_version = "created", 1
    return ImportedRow(
        row=row.row,
        code=row.code,
        status=status,
        item_id=item_id,
        item_version=item_version,
        version=item.version + len(events),
    )


def _invalid(row: ImportRow) -> ImportedRow:
    return ImportedRow(row=row.row, code=row.code, status="invalid", errors=row.errors)


def _with_faults(row: ImportRow) -> ImportRow:
    if row.errors or row.content is None:
        return row
    faults = tuple(RowError(fault.pointer, fault.code, fault.detail) for fault in faults_in(row.content))
    return msgspec.structs.replace(row, errors=faults)


def _with_duplicates_marked(rows: Sequence[ImportRow]) -> list[ImportRow]:
    first_rows: dict[str, int] = {}
    marked: list[ImportRow] = []
    for row in rows:
        if row.code is not None and row.code in first_rows:
            error = RowError("/code", "duplicate-code", f"Row {first_rows[row.code]} has this code too.")
            marked.append(msgspec.structs.replace(row, errors=(*row.errors, error)))
            continue
        if row.code is not None:
            first_rows[row.code] = row.row
        marked.append(row)
    return marked
