"""Exams: draft, publish, close, release."""

from typing import Annotated, Literal, assert_never

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from commands.api.adaptive_bodies import AdaptiveBody, PoolState, pool_state, rules_of
from commands.api.asking import Asked, acting_organization
from commands.api.bodies import (
    ItemId,
    LocalizedLongText,
    LocalizedTitle,
    OrganizationId,
    WholeNumber,
    pointers_under,
    written,
)
from commands.api.services import Services
from commands.author_exam import (
    DraftExam,
    Pick,
    RedraftExam,
    close_exam,
    draft_exam,
    publish_exam,
    redraft_exam,
    release_results,
)
from commands.streams import Outcome
from domain.exams.adaptive import MAX_POOL
from domain.exams.events import Audience, Blueprint, ReleaseRule
from domain.exams.exam import (
    MAX_ATTEMPTS,
    MAX_ITEMS,
    MAX_TIME_LIMIT_S,
    Closed,
    Draft,
    Exam,
    Nothing,
    Published,
)
from infra.http.etags import ExpectedVersion
from infra.http.guards import require_role
from infra.http.moments import Moment
from infra.http.paths import ExamId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel

AUTHORS = ("teacher", "org_admin", "service")

router = APIRouter(
    prefix="/api/v1/exams",
    tags=["exams"],
    route_class=ApiRoute,
    dependencies=[Depends(require_role(*AUTHORS))],
)


class PickBody(RequestModel):
    item_id: ItemId
    item_version: Annotated[int, WholeNumber(1, 1_000_000)] | None = Field(
        default=None, description="Default: the newest."
    )


class ExamBody(RequestModel):
    title: LocalizedTitle = Field(examples=[{"ko": "모의고사 1회", "en": "Mock exam 1"}])
    description: LocalizedLongText = Field(default_factory=dict)
    items: list[PickBody] = Field(
        min_length=1,
        max_length=MAX_POOL,
        description=f"In the order of the form, at most {MAX_ITEMS}; of an adaptive exam the pool, at most "
        f"{MAX_POOL}, from one item bank.",
    )
    adaptive: AdaptiveBody | None = Field(
        default=None, description="Each examinee gets a test of their own. Null: one form for everybody."
    )
    time_limit_s: Annotated[int, WholeNumber(1, MAX_TIME_LIMIT_S)] | None = None
    opens_at: Moment | None = None
    closes_at: Moment | None = None
    attempts_allowed: Annotated[int, WholeNumber(1, MAX_ATTEMPTS)] = 1
    release: ReleaseRule = Field(
        default="at_once", description="When examinees see their results, the key and the explanations."
    )
    audience: Audience = Field(
        default="organization", description="The organisation's own examinees, or everybody in the zone."
    )


class NewExam(ExamBody):
    org_id: OrganizationId | None = Field(
        default=None, description="May be left out by those who work for one organisation."
    )


class PinnedItem(BaseModel):
    item_id: str
    item_version: int


class ExamState(BaseModel):
    exam_id: str
    status: Literal["draft", "published", "closed"]
    results_released: bool
    delivery: Literal["fixed", "adaptive"]
    items: list[PinnedItem]
    pool: PoolState | None = Field(description="Of a published adaptive exam.")
    version: int


_PROBLEMS = problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503)


@router.post(
    "",
    operation_id="draftExam",
    summary="Draft an exam",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def draft(body: NewExam, response: Response, services: Services, asked: Asked) -> ExamState:
    command = DraftExam(
        org_id=acting_organization(asked, body.org_id), blueprint=_blueprint(body), picks=_picks(body)
    )
    with pointers_under(""):
        return _answer(response, await draft_exam(services.write, asked, command))


@router.put("/{exam_id}", operation_id="redraftExam", summary="Replace a draft", responses=_PROBLEMS)
async def redraft(
    exam_id: ExamId,
    body: ExamBody,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> ExamState:
    command = RedraftExam(
        exam_id=exam_id,
        blueprint=_blueprint(body),
        picks=_picks(body),
        expected_version=expected_version,
    )
    with pointers_under(""):
        return _answer(response, await redraft_exam(services.write, asked, command))


@router.post(
    "/{exam_id}/publish",
    operation_id="publishExam",
    summary="Make a draft final and open it",
    description="Of an adaptive exam the parameters of its items are pinned as they are now. What its rules "
    "cannot have with them is refused, with pointers into the draft.",
    responses=problem_responses(401, 403, 404, 409, 412, 422, 503),
)
async def publish(
    exam_id: ExamId, response: Response, services: Services, asked: Asked, expected_version: ExpectedVersion
) -> ExamState:
    with pointers_under(""):
        return _answer(response, await publish_exam(services.write, asked, exam_id, expected_version))


@router.post(
    "/{exam_id}/close",
    operation_id="closeExam",
    summary="Close an exam; running attempts are handed in as they stand",
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def close(exam_id: ExamId, response: Response, services: Services, asked: Asked) -> ExamState:
    return _answer(response, await close_exam(services.write, asked, exam_id))


@router.post(
    "/{exam_id}/release",
    operation_id="releaseResults",
    summary="Let the examinees see their results",
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def release(exam_id: ExamId, response: Response, services: Services, asked: Asked) -> ExamState:
    return _answer(response, await release_results(services.write, asked, exam_id))


def _blueprint(body: ExamBody) -> Blueprint:
    return Blueprint(
        title=body.title,
        items=(),
        description=body.description,
        time_limit_s=body.time_limit_s,
        opens_at=body.opens_at,
        closes_at=body.closes_at,
        attempts_allowed=body.attempts_allowed,
        release=body.release,
        audience=body.audience,
        adaptive=None if body.adaptive is None else rules_of(body.adaptive),
    )


def _picks(body: ExamBody) -> tuple[Pick, ...]:
    return tuple(Pick(item.item_id, item.item_version) for item in body.items)


def _answer(response: Response, outcome: Outcome[Exam]) -> ExamState:
    written(response, outcome.stream_id, outcome.version)
    status: Literal["draft", "published", "closed"]
    released = False
    match outcome.state:
        case Nothing():
            raise AssertionError("a command on an exam leaves an exam")
        case Draft():
            status = "draft"
        case Published():
            status, released = "published", outcome.state.results_released
        case Closed():
            status, released = "closed", outcome.state.results_released
        case _:
            assert_never(outcome.state)
    blueprint = outcome.state.blueprint
    return ExamState(
        exam_id=outcome.stream_id,
        status=status,
        results_released=released,
        delivery="fixed" if blueprint.adaptive is None else "adaptive",
        items=[PinnedItem(item_id=item.item_id, item_version=item.item_version) for item in blueprint.items],
        pool=pool_state(blueprint),
        version=outcome.version,
    )
