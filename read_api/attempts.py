"""One attempt, as the examinee sees it while working on it and afterwards."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from domain.attempts.attempt import AttemptNotFound
from domain.attempts.events import SubmittedBy
from domain.languages import Language, LocalizedText
from infra.http.etags import ETAG_HEADER, etag
from infra.http.guards import AttemptPrincipal
from infra.http.paths import AttemptId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from projections.attempts import queries
from projections.catalogue.queries import exam, exam_items
from projections.people.queries import person
from projections.queries import Connection
from read_api.abilities import AbilityShown, StepShown, ability_shown
from read_api.asking import require_id
from read_api.contents import (
    ItemKind,
    KeyShown,
    OptionShown,
    ResponseShown,
    TextShown,
    key_shown,
    options_shown,
    response_shown,
    text_shown,
)
from read_api.errors import ReadModelBehind
from read_api.services import Read, Services

router = APIRouter(prefix="/api/v1/attempts", tags=["attempts"], route_class=ApiRoute)

AttemptStatus = Literal["in_progress", "submitted", "scored"]

DEFAULT_LANGUAGE: Language = "ko"


class ItemResult(BaseModel):
    score: int
    max_score: int
    key: KeyShown | None = Field(description="Null where an adaptive exam keeps its keys for another time.")
    explanation: TextShown | None


class ItemInAttempt(BaseModel):
    ordinal: int = Field(description="Its place on the form; in an adaptive test the step.")
    item_id: str
    item_version: int
    kind: ItemKind
    content_area: str
    points: int
    language: Language = Field(description="Another than the one asked for where there is no such text.")
    stem: str
    options: list[OptionShown] | None = Field(description="Null for items without options.")
    response: ResponseShown | None = Field(description="What is saved; null where nothing is answered.")
    sequence: int | None = Field(description="The sequence number of the saved response.")
    result: ItemResult | None = Field(
        description="Null until the results are released, and for items that did not count."
    )


class AttemptShown(BaseModel):
    attempt_id: str
    exam_id: str
    exam_title: LocalizedText
    examinee_id: str
    ordinal: int = Field(description="Which of the examinee's attempts at this exam it is, from 1.")
    status: AttemptStatus
    started_at: datetime
    deadline: datetime | None = Field(description="Null where there is no time limit.")
    server_now: datetime = Field(description="Compare the deadline with this, not with the device's clock.")
    remaining_s: float | None = Field(
        description="Seconds until the deadline; null without a limit, or when the attempt is handed in."
    )
    submitted_at: datetime | None
    submitted_by: SubmittedBy | None
    responses_given: int
    score: int | None = Field(description="Null until the results are released.")
    max_score: int | None
    adaptive: bool = Field(description="Whether each item is chosen by the answers before it.")
    ability: AbilityShown | None = Field(
        description="Of adaptive attempts: for those who teach the examinee, drafted the exam or administer "
        "the organisation as it stands, for examinees and their parents once results are released."
    )
    items: list[ItemInAttempt] = Field(
        description="Of an adaptive attempt those presented so far, in order; the last one waits for an "
        "answer unless it has one."
    )
    steps: list[StepShown] | None = Field(
        description="Of adaptive attempts, for those who teach the examinee, drafted the exam or administer "
        "the organisation: what the engine knew, and when."
    )
    version: int


@router.get(
    "/{attempt_id}",
    operation_id="getAttempt",
    summary="An attempt with its items and saved responses",
    description="For the examinee (also with the attempt's own token) and linked parents, for teachers of "
    "the examinee's class, whoever drafted the exam, and those who administer the organisation. "
    "Scores, keys and explanations come once the results are released; of an adaptive exam keys and "
    "explanations only where its author has said so.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_attempt(
    attempt_id: AttemptId,
    principal: AttemptPrincipal,
    read: Read,
    services: Services,
    request: Request,
    response: Response,
    lang: Annotated[Language | None, Query(description="Default: one's own language.")] = None,
) -> AttemptShown:
    require_id(attempt_id, "attempt", AttemptNotFound)
    async with read.of(principal, "attempts", "catalogue", "people") as connection:
        attempt = await queries.attempt(connection, attempt_id)
        if attempt is None:
            raise AttemptNotFound
        if attempt["status"] == "scored":
            # Results, and no exam that is under way: that one goes on, whatever the rules say of results.
            wall, exam_id = services.policy_wall, attempt["exam_id"]
            if not await wall.require(request, principal, "view_results", "exam", exam_id):
                raise AttemptNotFound
        at_exam = await exam(connection, attempt["exam_id"])
        if at_exam is None:
            # Each projection keeps its own pace: the exam's rows are on their way.
            raise ReadModelBehind(retry_after_s=1)
        language = lang or await _own_language(connection, principal.subject_id)
        # The exam knows from the first moment on; an attempt begins before its first item is told of.
        adaptive = at_exam["delivery"] == "adaptive"
        items = await _items(connection, attempt, language, adaptive=adaptive)
        ability = ability_shown(await queries.ability(connection, attempt_id)) if adaptive else None
        steps = await queries.steps(connection, attempt_id) if adaptive and at_exam["asks_as_staff"] else None
    now = services.clock()
    remaining_s = None
    if attempt["deadline"] is not None and attempt["status"] == "in_progress":
        remaining_s = max(0.0, (attempt["deadline"] - now).total_seconds())
    response.headers[ETAG_HEADER] = etag(attempt["version"])
    return AttemptShown.model_validate(
        {
            **attempt,
            "exam_title": at_exam["title"],
            "server_now": now,
            "remaining_s": remaining_s,
            "adaptive": adaptive,
            "ability": ability,
            "items": items,
            "steps": steps,
        }
    )


async def _own_language(connection: Connection, user_id: str) -> Language:
    found = await person(connection, user_id)
    language: Language = DEFAULT_LANGUAGE if found is None else found["language"]
    return language


async def _items(
    connection: Connection, attempt: dict[str, Any], language: Language, *, adaptive: bool
) -> list[ItemInAttempt]:
    attempt_id = attempt["attempt_id"]
    if adaptive:
        given = await queries.presented_items(connection, attempt_id)
    else:
        given = await exam_items(connection, attempt["exam_id"])
    responses = await queries.responses(connection, attempt_id)
    results = await queries.item_results(connection, attempt_id) if attempt["result_visible"] else {}
    return [_item(row, language, responses.get(row["item_id"]), results.get(row["item_id"])) for row in given]


def _item(
    row: dict[str, Any], language: Language, saved: dict[str, Any] | None, result: dict[str, Any] | None
) -> ItemInAttempt:
    stem = text_shown(row["public"]["stem"], language)
    return ItemInAttempt(
        ordinal=row["ordinal"],
        item_id=row["item_id"],
        item_version=row["item_version"],
        kind=row["kind"],
        content_area=row["content_area"],
        points=row["points"],
        language=stem.language,
        stem=stem.text,
        options=options_shown(row["public"]["options"], stem.language),
        response=None if saved is None else response_shown(saved["response"]),
        sequence=None if saved is None else saved["sequence"],
        result=None if result is None else _result(result, language),
    )


def _result(result: dict[str, Any], language: Language) -> ItemResult:
    explanation = result["explanation"]
    return ItemResult(
        score=result["score"],
        max_score=result["max_score"],
        key=None if result["key"] is None else key_shown(result["key"]),
        explanation=text_shown(explanation, language) if explanation else None,
    )
