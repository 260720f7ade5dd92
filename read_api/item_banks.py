"""Item banks and their items, with keys: for the staff of the organisation alone."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from domain.items.bank import ItemBankNotFound
from domain.items.item import ItemNotFound
from domain.languages import LocalizedText
from infra.http.etags import ETAG_HEADER, etag
from infra.http.paging import Page, Paging, encode_cursor
from infra.http.paths import BankId, ItemIdInPath
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from projections.catalogue import queries
from read_api.asking import Staff, require_id
from read_api.contents import ItemKind, ItemOption, ItemParametersShown, KeyShown, key_shown
from read_api.services import Read

router = APIRouter(prefix="/api/v1", tags=["item banks"], route_class=ApiRoute)


class ItemBankShown(BaseModel):
    bank_id: str
    org_id: str | None
    name: str = Field(examples=["Mathematics, grade 12"])
    description: str
    created_at: datetime
    version: int


class ItemBankInDetail(ItemBankShown):
    items: int = Field(description="How many items it holds.")


class ItemListed(BaseModel):
    item_id: str
    item_version: int
    bank_id: str
    code: str = Field(examples=["math-01"])
    kind: ItemKind
    content_area: str = Field(examples=["mathematics"])
    points: int
    stem: LocalizedText
    version: int


class ItemInDetail(ItemListed):
    newest: bool
    options: list[ItemOption] | None = Field(description="Null for items without options.")
    key: KeyShown
    explanation: LocalizedText | None
    irt: ItemParametersShown | None
    created_at: datetime


@router.get(
    "/item-banks",
    operation_id="listItemBanks",
    summary="Item banks of one's organisations, newest first",
    responses=problem_responses(401, 403, 422, 503),
)
async def list_item_banks(principal: Staff, read: Read, paging: Paging) -> Page[ItemBankShown]:
    before = paging.start_after("item-banks", str)
    async with read.of(principal, "catalogue") as connection:
        found = await queries.item_banks(connection, before=before, limit=paging.limit + 1)
    shown = [ItemBankShown.model_validate(row) for row in found[: paging.limit]]
    more = len(found) > paging.limit
    return Page(items=shown, next_cursor=encode_cursor("item-banks", shown[-1].bank_id) if more else None)


@router.get(
    "/item-banks/{bank_id}",
    operation_id="getItemBank",
    summary="One item bank",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_item_bank(
    bank_id: BankId, principal: Staff, read: Read, response: Response
) -> ItemBankInDetail:
    require_id(bank_id, "item_bank", ItemBankNotFound)
    async with read.of(principal, "catalogue") as connection:
        found = await queries.item_bank(connection, bank_id)
    if found is None:
        raise ItemBankNotFound
    response.headers[ETAG_HEADER] = etag(found["version"])
    return ItemBankInDetail.model_validate(found)


@router.get(
    "/item-banks/{bank_id}/items",
    operation_id="listItems",
    summary="Items of a bank, each in its newest version",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def list_items(bank_id: BankId, principal: Staff, read: Read, paging: Paging) -> Page[ItemListed]:
    require_id(bank_id, "item_bank", ItemBankNotFound)
    list_name = f"items of {bank_id}"
    after = paging.start_after(list_name, str)
    async with read.of(principal, "catalogue") as connection:
        if await queries.item_bank(connection, bank_id) is None:
            raise ItemBankNotFound
        found = await queries.items_of_bank(connection, bank_id, after=after, limit=paging.limit + 1)
    shown = [
        ItemListed.model_validate({**row, "stem": row["public"]["stem"]}) for row in found[: paging.limit]
    ]
    more = len(found) > paging.limit
    return Page(items=shown, next_cursor=encode_cursor(list_name, shown[-1].item_id) if more else None)


@router.get(
    "/items/{item_id}",
    operation_id="getItem",
    summary="One item with its key",
    description="The `ETag` is that of the item itself, so it comes with the newest version alone.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_item(
    item_id: ItemIdInPath,
    principal: Staff,
    read: Read,
    response: Response,
    version: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="The item's version; the newest if left out.")
    ] = None,
) -> ItemInDetail:
    require_id(item_id, "item", ItemNotFound)
    async with read.of(principal, "catalogue") as connection:
        found = await queries.item_with_key(connection, item_id, version)
    if found is None:
        raise ItemNotFound
    if found["newest"]:
        response.headers[ETAG_HEADER] = etag(found["version"])
    return ItemInDetail.model_validate({**found, **found["public"], "key": key_shown(found["key"])})
