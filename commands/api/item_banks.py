"""Item banks and their items, one by one or by the file."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked, acting_organization
from commands.api.bodies import ItemId, OrganizationId, pointers_under, written, written_together
from commands.api.item_bodies import ItemBody, ItemCode, content_of
from commands.api.item_files import rows_from_csv, rows_from_json
from commands.api.services import Services
from commands.import_items import ImportedRow, ImportItems, import_items
from commands.write_items import (
    CreateItem,
    CreateItemBank,
    ReviseItem,
    create_item_bank,
    create_new_item,
    revise,
)
from domain.items.item import Written
from infra.http.etags import ExpectedVersion
from infra.http.guards import require_role
from infra.http.paths import BankId, ItemIdInPath
from infra.http.problem_types import UNSUPPORTED_MEDIA_TYPE
from infra.http.problems import ProblemHttpException, problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel, SafeText

AUTHORS = ("teacher", "org_admin", "service")

router = APIRouter(
    prefix="/api/v1", tags=["items"], route_class=ApiRoute, dependencies=[Depends(require_role(*AUTHORS))]
)


_IMPORT_EXAMPLE = {
    "code": "math-01",
    "kind": "numeric",
    "content_area": "mathematics",
    "points": 2,
    "stem": {"en": "What is 3 + 4?"},
    "key": {"value": "7"},
}


class NewItemBank(RequestModel):
    name: Annotated[str, SafeText(1, 200)] = Field(examples=["Mathematics, grade 12"])
    description: Annotated[str, SafeText(0, 2_000, multi_line=True)] = ""
    org_id: OrganizationId | None = Field(
        default=None, description="May be left out by those who work for one organisation."
    )


class ItemBankState(BaseModel):
    bank_id: str
    name: str
    version: int


class NewItem(RequestModel):
    code: ItemCode
    content: ItemBody


class ItemRevision(RequestModel):
    content: ItemBody


class ItemState(BaseModel):
    item_id: str
    bank_id: str
    code: str
    item_version: int = Field(description="What forms pin; a version never changes.")
    version: int = Field(description="What the ETag says.")


class RowProblem(BaseModel):
    pointer: str
    code: str
    detail: str


class RowReport(BaseModel):
    row: int = Field(description="Counted from 1, without the header.")
    code: str | None
    status: Literal["created", "revised", "unchanged", "invalid"]
    item_id: ItemId | None
    item_version: int | None
    errors: list[RowProblem]


class ImportReport(BaseModel):
    dry_run: bool
    created: int
    revised: int
    unchanged: int
    invalid: int
    rows: list[RowReport]


@router.post(
    "/item-banks",
    operation_id="createItemBank",
    summary="Create an item bank",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def create_bank(
    body: NewItemBank, response: Response, services: Services, asked: Asked
) -> ItemBankState:
    command = CreateItemBank(
        org_id=acting_organization(asked, body.org_id), name=body.name, description=body.description
    )
    outcome = await create_item_bank(services.write, asked, command)
    written(response, outcome.stream_id, outcome.version)
    return ItemBankState(bank_id=outcome.stream_id, name=body.name, version=outcome.version)


@router.post(
    "/item-banks/{bank_id}/items",
    operation_id="createItem",
    summary="Write a new item",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def create_item(
    bank_id: BankId, body: NewItem, response: Response, services: Services, asked: Asked
) -> ItemState:
    command = CreateItem(bank_id=bank_id, code=body.code, content=content_of(body.content))
    with pointers_under("/content"):
        outcome = await create_new_item(services.write, asked, command)
    written(response, outcome.stream_id, outcome.version)
    return _item_state(outcome.stream_id, outcome.state, outcome.version)


@router.put(
    "/items/{item_id}",
    operation_id="reviseItem",
    summary="Write a new version of an item",
    description="Exams keep the version that they pinned. The same content again makes no new version.",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
)
async def revise_item(
    item_id: ItemIdInPath,
    body: ItemRevision,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> ItemState:
    command = ReviseItem(item_id=item_id, content=content_of(body.content), expected_version=expected_version)
    with pointers_under("/content"):
        outcome = await revise(services.write, asked, command)
    written(response, outcome.stream_id, outcome.version)
    return _item_state(outcome.stream_id, outcome.state, outcome.version)


@router.post(
    "/item-banks/{bank_id}/import",
    operation_id="importItems",
    summary="Import items from CSV or JSON",
    description="All rows or none. Items are known by their code: a new code makes an item, a known one "
    "a new version where the content differs. With `dry_run` nothing is written; errors are in the report. "
    "CSV columns and an example stand in docs/item-import.md.",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["items"],
                        "properties": {
                            "items": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 2000,
                                "items": {"type": "object"},
                            }
                        },
                    },
                    "example": {"items": [_IMPORT_EXAMPLE]},
                },
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": "code,kind,content_area,points,stem_en,key\n"
                    "math-01,numeric,mathematics,2,What is 3 + 4?,7\n",
                },
            },
        }
    },
)
async def import_route(
    bank_id: BankId,
    request: Request,
    response: Response,
    services: Services,
    asked: Asked,
    dry_run: Annotated[bool, Query(description="Only say what would happen.")] = False,
) -> ImportReport:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    match media_type:
        case "application/json":
            rows = rows_from_json(await request.json())
        case "text/csv":
            rows = rows_from_csv(await request.body())
        case _:
            raise ProblemHttpException(
                UNSUPPORTED_MEDIA_TYPE,
                "Send 'application/json' or 'text/csv'.",
                accepted=["application/json", "text/csv"],
            )
    imported = await import_items(
        services.write, asked, ImportItems(bank_id=bank_id, rows=rows, dry_run=dry_run)
    )
    if not dry_run:
        written_together(
            response,
            [(row.item_id, row.version, row.status != "unchanged") for row in imported if row.item_id],
        )
    return _report(imported, dry_run=dry_run)


def _item_state(item_id: str, state: Any, version: int) -> ItemState:
    assert isinstance(state, Written)
    return ItemState(
        item_id=item_id,
        bank_id=state.bank_id,
        code=state.code,
        item_version=state.item_version,
        version=version,
    )


def _report(rows: list[ImportedRow], *, dry_run: bool) -> ImportReport:
    statuses = [row.status for row in rows]
    return ImportReport(
        dry_run=dry_run,
        created=statuses.count("created"),
        revised=statuses.count("revised"),
        unchanged=statuses.count("unchanged"),
        invalid=statuses.count("invalid"),
        rows=[
            RowReport(
                row=row.row,
                code=row.code,
                status=row.status,
                item_id=row.item_id,
                item_version=row.item_version,
                errors=[
                    RowProblem(pointer=error.pointer, code=error.code, detail=error.detail)
                    for error in row.errors
                ],
            )
            for row in rows
        ],
    )
