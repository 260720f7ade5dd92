"""What `megacity cat report` does: asks, prints, writes."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from domain.identifiers import Category, category_of
from infra.cli.cat.report_pictures import Path as AttemptPath
from infra.cli.cat.report_pictures import Step, draw_report, require_pictures
from infra.cli.cat.report_tables import print_report
from infra.cli.cat.results import as_json, number, write_csv, write_json
from infra.cli.cat.tables import TableError, read_table
from infra.cli.console import CommandError, progress
from infra.composition import System, open_system
from infra.http.principal import SERVICE_PREFIX, Principal, RoleGrant
from infra.postgres.roles import PROJECTOR, READER
from infra.read_store import ReadStore
from infra.settings import load_settings
from projections.adaptive_report import queries
from projections.adaptive_report.figures import AbilityBin, AdaptiveReport, ItemUse
from projections.adaptive_report.groups import GroupReport, group_report, organizations
from projections.adaptive_report.report import adaptive_report
from projections.queries import Connection
from read_api.errors import ReadStoreUnreachable

_ITEM_COLUMNS = tuple(each for each in ItemUse.__struct_fields__ if each != "by_ability")
_BIN_COLUMNS = AbilityBin.__struct_fields__


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options, as `infra.cli.cat.report` names them."""

    exam: str
    groups: Path | None
    by_organization: bool
    out: Path | None
    plot: str | None
    items: bool
    attempt: str | None
    exposure_limit: float
    as_json: bool


@dataclass(frozen=True)
class Answers:
    title: str
    report: AdaptiveReport
    groups: GroupReport | None
    path: AttemptPath | None


def run(request: Request) -> None:
    _refuse_other_id(request.exam, "exam")
    if request.attempt is not None:
        _refuse_other_id(request.attempt, "attempt")
    group_of = None if request.groups is None else read_group_names(request.groups)
    if request.plot is not None:
        require_pictures()
    with open_system(load_settings()) as system:
        answers = asyncio.run(_ask(system, request, group_of))
    if request.as_json:
        print(as_json(_content(answers)))
    else:
        print_report(answers.title, answers.report, answers.groups)
    if request.out is not None:
        _write(request, answers, request.out)


def read_group_names(file: Path) -> dict[str, str]:
    """The group of each examinee; rows without a group are left out. Raises TableError."""
    table = read_table(file, "examinee")
    if "group" not in table.columns:
        raise TableError(file, "there is no column group", row=1)
    pairs = zip(table.cells("examinee"), table.cells("group"), strict=True)
    return {examinee: group for examinee, group in pairs if group}


async def _ask(system: System, request: Request, group_of: dict[str, str] | None) -> Answers:
    try:
        asker = _operator(system, request.exam)
        async with (
            ReadStore(system.conninfo(READER), max_size=1) as store,
            store.session(asker) as connection,
        ):
            exam = await queries.adaptive_exam(connection, request.exam)
            if exam is None:
                raise CommandError(f"There is no exam {request.exam}.")
            if exam["delivery"] != "adaptive":
                raise CommandError(
                    f"{request.exam} is not adaptive.",
                    remedy="Its item analysis is at GET /api/v1/analytics/exam/{exam_id}.",
                )
            if request.by_organization:
                group_of = await organizations(connection, request.exam)
            return Answers(
                next(iter(exam["title"].values())),
                await adaptive_report(connection, exam, exposure_limit=request.exposure_limit),
                None if group_of is None else await group_report(connection, request.exam, group_of),
                None if request.attempt is None else await _path(connection, request.exam, request.attempt),
            )
    except (ReadStoreUnreachable, psycopg.OperationalError) as error:
        raise CommandError("The database does not answer.", remedy="`megacity doctor` looks why.") from error


def _operator(system: System, exam_id: str) -> Principal:
    """An operator sees all of the exam's zone: row-level security is told of a program there."""
    with psycopg.connect(system.conninfo(PROJECTOR)) as connection:
        found = connection.execute("SELECT zone_id FROM read.exams WHERE exam_id = %s", [exam_id]).fetchone()
    zone_id = system.settings.zone if found is None else found[0]
    return Principal(
        subject_id=f"{SERVICE_PREFIX}operator",
        zone_id=zone_id,
        roles=(RoleGrant("service"),),
        session_id="cli",
    )


async def _path(connection: Connection, exam_id: str, attempt_id: str) -> AttemptPath:
    rows = await queries.path(connection, exam_id, attempt_id)
    if not rows:
        raise CommandError(f"{attempt_id} is no attempt at {exam_id}.")
    first = rows[0]
    return AttemptPath(
        attempt_id=attempt_id,
        prior_mean=first["prior_mean"],
        prior_sd=first["prior_sd"],
        stop_reason=first["stop_reason"],
        steps=[
            Step(
                code=row["code"] or str(row["step"]),
                difficulty=None if row["parameters"] is None else row["parameters"]["b"],
                pretest=row["pretest"],
                right=row["is_right"],
                theta=row["theta"],
                se=row["se"],
            )
            for row in rows
        ],
    )


def _write(request: Request, answers: Answers, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder} cannot be made: {error.strerror or error}.") from error
    write_json(folder / "report.json", _content(answers))
    for name, columns, rows in (
        ("items.csv", _ITEM_COLUMNS, answers.report.items),
        ("by_ability.csv", _BIN_COLUMNS, answers.report.by_ability),
    ):
        write_csv(folder / name, columns, ([_cell(getattr(row, each)) for each in columns] for row in rows))
    if request.plot is not None:
        draw_report(folder, request.plot, answers.report, answers.path, items=request.items)
    progress().print(f"Written to {folder}", soft_wrap=True, markup=False)


def _cell(value: object) -> object:
    return number(value) if isinstance(value, float) else "" if value is None else value


def _content(answers: Answers) -> dict[str, Any]:
    content: dict[str, Any] = {"title": answers.title, **msgspec.to_builtins(answers.report)}
    if answers.groups is not None:
        content["by_group"] = msgspec.to_builtins(answers.groups)
    return content


def _refuse_other_id(text: str, category: Category) -> None:
    if category_of(text) != category:
        raise CommandError(
            f"{text!r} is not the id of an {category}.", remedy=f"They look like {category}-0198f0a2-…."
        )
