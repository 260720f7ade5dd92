"""Rosters over HTTP: one file, as a table or as a OneRoster archive."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked, organizations_with
from commands.api.bodies import written_together
from commands.api.services import Services
from commands.roster.importing import Imported, ImportRoster, import_roster
from commands.roster.oneroster import read_oneroster
from commands.roster.reading import read_table
from commands.roster.roster import Roster, UnreadableRoster
from commands.roster.tables import Encoding
from domain.organizations.organization import OrganizationNotFound
from infra.http.guards import CurrentPrincipal, require_role
from infra.http.problem_types import UNSUPPORTED_MEDIA_TYPE
from infra.http.problems import ProblemHttpException, problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7

router = APIRouter(prefix="/api/v1/organizations", tags=["organizations"], route_class=ApiRoute)

IMPORTING_ROLES = ("org_admin", "service", "sys_admin")
MAX_FAULTS = 1_000
"""That are listed; of the others it is said how many there are."""
MEDIA_TYPES = ("text/csv", "application/zip")
_ENCODINGS: dict[str, Encoding] = {
    **dict.fromkeys(("utf-8", "utf8"), "utf-8"),
    **dict.fromkeys(("cp949", "ms949", "uhc", "euc-kr", "ks_c_5601-1987"), "cp949"),
}


class RosterFault(BaseModel):
    file: str = Field(description="Of an archive; empty where there is one file.")
    row: int = Field(description="As a spreadsheet counts: the header is row 1.")
    column: str = Field(description="As the file calls it; empty where it is the whole row.")
    code: str
    detail: str


class RosterReport(BaseModel):
    dry_run: bool
    rows: int = Field(description="That tell of people, good ones and bad ones.")
    created: int = Field(description="People who were not known.")
    updated: int = Field(description="People of another name, language, role or class than before.")
    unchanged: int
    removed: int
    skipped: int = Field(description="Rows that are right and not for us, such as parents.")
    classes_opened: int
    classes_renamed: int
    withheld: bool = Field(
        description="The file has faults: so nobody was taken out of a class, and nobody removed."
    )
    faults: list[RosterFault] = Field(description=f"At most {MAX_FAULTS}, in the order of the file.")
    faults_left_out: int


@router.post(
    "/{org_id}/roster-imports",
    operation_id="importRoster",
    summary="Import people and classes from a file",
    description="For administrators of the organisation and its programs. CSV (UTF-8 or CP949) or OneRoster "
    "1.1 and 1.2 CSV as a ZIP archive. Right rows take effect, wrong ones are listed; the same file again "
    "changes nothing. Columns and rules stand in docs/rosters.md.",
    dependencies=[Depends(require_role(*IMPORTING_ROLES))],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": "external_ref,display_name,class,role\n2026-0317,김민지,1-A,student\n",
                },
                "application/zip": {
                    "schema": {"type": "string", "format": "binary"},
                    "example": "(manifest.csv, orgs.csv, users.csv, classes.csv, enrollments.csv)",
                },
            },
        }
    },
)
async def import_route(
    org_id: Annotated[
        str, Path(description="Id of the organisation.", examples=[f"organization-{EXAMPLE_UUID7}"])
    ],
    request: Request,
    response: Response,
    services: Services,
    asked: Asked,
    principal: CurrentPrincipal,
    dry_run: Annotated[bool, Query(description="Only say what would happen.")] = False,
    remove_absent: Annotated[
        bool,
        Query(
            description="Whom an earlier roster brought and this file does not name is no member any longer. "
            "Not for programs."
        ),
    ] = False,
) -> RosterReport:
    if principal.kind == "service" and org_id not in organizations_with(principal, {"service"}):
        raise OrganizationNotFound  # a program's other roles import nothing
    read = _reader(request.headers.get("content-type", ""))
    # Fifty thousand rows take a second: others are answered meanwhile.
    roster = await asyncio.to_thread(read, await request.body())
    command = ImportRoster(org_id=org_id, roster=roster, dry_run=dry_run, remove_absent=remove_absent)
    imported = await import_roster(services.write, services.roster_lists, asked, command)
    if imported.last is not None:
        written_together(response, [(*imported.last, True)])
    return _report(roster, imported, dry_run=dry_run)


def _reader(content_type: str) -> Callable[[bytes], Roster]:
    media_type, _, parameters = content_type.partition(";")
    match media_type.strip().lower():
        case "text/csv":
            encoding = _encoding(parameters)
            return lambda body: read_table(body, encoding)
        case "application/zip":
            return read_oneroster
        case _:
            raise ProblemHttpException(
                UNSUPPORTED_MEDIA_TYPE, "Send 'text/csv' or 'application/zip'.", accepted=list(MEDIA_TYPES)
            )


def _encoding(parameters: str) -> Encoding | None:
    """Raises `UnreadableRoster` where one is named that nobody knows."""
    for each in parameters.split(";"):
        name, _, value = each.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
            if charset not in _ENCODINGS:
                raise UnreadableRoster(reason=f"charset {charset[:20]!r} is not known: say utf-8 or cp949")
            return _ENCODINGS[charset]
    return None


def _report(roster: Roster, imported: Imported, *, dry_run: bool) -> RosterReport:
    shown: list[dict[str, Any]] = [
        {"file": each.file, "row": each.row, "column": each.column, "code": each.code, "detail": each.detail}
        for each in imported.faults[:MAX_FAULTS]
    ]
    return RosterReport(
        dry_run=dry_run,
        rows=roster.rows,
        created=imported.created,
        updated=imported.updated,
        unchanged=imported.unchanged,
        removed=imported.removed,
        skipped=roster.skipped,
        classes_opened=imported.classes_opened,
        classes_renamed=imported.classes_renamed,
        withheld=imported.withheld,
        faults=[RosterFault(**each) for each in shown],
        faults_left_out=len(imported.faults) - len(shown),
    )
