"""Taking an exam: start, answer, hand in."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias, assert_never

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, ValidationError

from commands.api.asking import Asked, AskedInAttempt, context_of
from commands.api.bodies import UserId, WholeNumber, pointers_under, written
from commands.api.item_bodies import DecimalText, OptionId
from commands.api.next_items import STILL_DECIDING, still_deciding
from commands.api.presenting import AskedLanguage, NextItem, shown_next
from commands.api.services import Services, WriteServices
from commands.next_item import give_response_and_wait, is_adaptive, start_attempt_and_wait, whats_next
from commands.streams import Loaded, Outcome
from commands.take_exam import (
    GiveResponse,
    StartAttempt,
    submit_attempt,
    submit_exam,
)
from domain.attempts.attempt import (
    MAX_SEQUENCE,
    Attempt,
    InProgress,
    NotStarted,
    SavedResponse,
    Scored,
    Submitted,
)
from domain.attempts.events import ResponseChanged, ResponseGiven, SubmittedBy
from domain.exams.exam import ExamNotFound
from domain.items import responses
from domain.languages import LANGUAGES, Language
from infra.http.guards import CurrentPrincipal, attempt_principal_of
from infra.http.idempotency import IDEMPOTENCY_KEY_HEADER, command_id_of
from infra.http.paths import AttemptId, ExamId, ItemIdInPath
from infra.http.policy_wall import permitted
from infra.http.principal import Principal, RoleGrant
from infra.http.problems import ProblemHttpException, problem_responses
from infra.http.routing import ApiRoute, short_way
from infra.http.text import RequestModel, SafeText

router = APIRouter(prefix="/api/v1", tags=["attempts"], route_class=ApiRoute)

ATTEMPT_TOKEN_MARGIN_S = 600
LONGEST_ATTEMPT_TOKEN_TTL_S = 24 * 3600

_LANGUAGES_ASKED = frozenset({None, *LANGUAGES})


class NewAttempt(RequestModel):
    examinee_id: UserId | None = Field(
        default=None,
        description="Oneself where it is left out; a service of the exam's organisation may "
        "name one of its examinees.",
    )


class AttemptState(BaseModel):
    attempt_id: str
    exam_id: str
    examinee_id: str
    ordinal: int = Field(description="Which of the examinee's attempts at this exam it is, from 1.")
    status: Literal["in_progress", "submitted", "scored"]
    submitted_by: SubmittedBy | None
    started_at: datetime
    deadline: datetime | None = Field(description="Null where there is no time limit.")
    server_now: datetime = Field(description="Compare the deadline with this, not with the device's clock.")
    responses_saved: int
    version: int


class StartedAttempt(AttemptState):
    attempt_token: str = Field(description="An access token for this attempt alone.")
    attempt_token_expires_in: int = Field(description="Seconds.")
    next: NextItem | None = Field(description="Null where all items are there at once.")


class OptionsResponse(RequestModel):
    """Answer to a multiple choice (one option) or multiple response item."""

    options: list[OptionId] = Field(min_length=1, max_length=20, examples=[["3"]])


class NumberResponse(RequestModel):
    """Answer to a numeric item, as a decimal in a string."""

    value: DecimalText


class TextResponse(RequestModel):
    """Answer to a short text item."""

    text: Annotated[str, SafeText(1, responses.MAX_TEXT_LENGTH, multi_line=True)]


ResponseBody: TypeAlias = OptionsResponse | NumberResponse | TextResponse


class GivenResponse(RequestModel):
    response: ResponseBody | None = Field(description="Null takes the answer back.")
    sequence: Annotated[int, WholeNumber(1, MAX_SEQUENCE)] | None = Field(
        default=None,
        description="Your own counter, going up with every answer to this item: a late or repeated request "
        "then changes nothing. Left out, the request counts as the latest.",
    )


class SavedAnswer(BaseModel):
    attempt_id: str
    item_id: str
    response: ResponseBody | None = Field(description="What is saved now.")
    sequence: int
    applied: bool = Field(description="False where a later answer was saved already.")
    deadline: datetime | None
    server_now: datetime
    next: NextItem | None = Field(
        description="What comes now in an adaptive attempt; null where all items are there at once."
    )
    version: int


@router.post(
    "/exams/{exam_id}/attempts",
    operation_id="startAttempt",
    summary="Start an attempt, or go on with the one that is running",
    status_code=201,
    dependencies=[Depends(permitted("take_exam", "exam", "exam_id", otherwise=ExamNotFound))],
    responses={
        200: {"model": StartedAttempt, "description": "The attempt that was running already"},
        **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    },
)
async def start(
    exam_id: ExamId,
    request: Request,
    response: Response,
    principal: CurrentPrincipal,
    services: Services,
    asked: Asked,
    body: NewAttempt | None = None,
    lang: AskedLanguage = None,
) -> StartedAttempt:
    examinee_id = asked.actor.id if body is None or body.examinee_id is None else body.examinee_id
    if examinee_id != asked.actor.id and asked.actor.kind == "service":
        # The guard has asked whether the service itself may.
        await services.policy_wall.require_of(request, principal, examinee_id, "take_exam", "exam", exam_id)
    command = StartAttempt(exam_id=exam_id, examinee_id=examinee_id)
    outcome, now = await start_attempt_and_wait(services.write, asked, command, services.next_item_wait_s)
    if not outcome.events:
        response.status_code = 200
    state = _answer(response, services, outcome.stream_id, now)
    token, expires_in = services.access_tokens.issue(
        Principal(
            subject_id=examinee_id,
            zone_id=outcome.owner.zone_id or "",
            roles=(RoleGrant("student"),),
            session_id=outcome.stream_id,
            attempt_id=outcome.stream_id,
            delegate=None if examinee_id == asked.actor.id else asked.actor.id,
        ),
        ttl_s=_token_ttl_s(state),
    )
    return StartedAttempt(
        **state.model_dump(),
        attempt_token=token,
        attempt_token_expires_in=expires_in,
        next=await _next(services, now.state, examinee_id, lang),
    )


async def _respond_quickly(request: Request) -> Response | None:
    """The short way of `respond`: each examinee of a whole class comes by here every few seconds."""
    services: WriteServices = request.app.state.services
    principal = attempt_principal_of(request, services)
    key_is_refused = IDEMPOTENCY_KEY_HEADER in request.headers and not hasattr(request.state, "command_id")
    language = request.query_params.get("lang")
    if principal is None or key_is_refused or language not in _LANGUAGES_ASKED:
        return None
    try:
        body = GivenResponse.model_validate(await request.json())
    except (ProblemHttpException, ValidationError):
        return None
    asked = context_of(request, principal, command_id_of(request))
    response = Response(media_type="application/json")
    path = request.path_params
    saved = await respond(path["attempt_id"], path["item_id"], body, response, services, asked, language)
    response.body = saved.__pydantic_serializer__.to_json(saved)
    response.headers["content-length"] = str(len(response.body))
    return response


@router.put(
    "/attempts/{attempt_id}/responses/{item_id}",
    operation_id="giveResponse",
    summary="Save the answer to an item",
    description="Durable when answered. It may be changed until the attempt is handed in. In an adaptive "
    "attempt the pending item alone is answered, once, and `next` says what comes then; a repeated request, "
    "whose answer was lost, is told what is next now.",
    responses={
        202: {"model": SavedAnswer, **STILL_DECIDING},
        **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    },
)
@short_way(_respond_quickly)
async def respond(
    attempt_id: AttemptId,
    item_id: ItemIdInPath,
    body: GivenResponse,
    response: Response,
    services: Services,
    asked: AskedInAttempt,
    lang: AskedLanguage = None,
) -> SavedAnswer:
    command = GiveResponse(
        attempt_id=attempt_id, item_id=item_id, response=_domain(body.response), sequence=body.sequence
    )
    with pointers_under(""):
        outcome, now = await give_response_and_wait(services.write, asked, command, services.next_item_wait_s)
    written(response, attempt_id, now.version)
    facts, saved = _saved(outcome, item_id)
    coming = await _next(services, now.state, facts.examinee_id, lang)
    if coming is not None and coming.status == "deciding":
        still_deciding(response, attempt_id, lang)
    return SavedAnswer(
        attempt_id=attempt_id,
        item_id=item_id,
        response=_body(saved.response),
        sequence=saved.sequence,
        applied=any(isinstance(event, ResponseGiven | ResponseChanged) for event in outcome.events),
        deadline=facts.deadline,
        server_now=services.clock(),
        next=coming,
        version=now.version,
    )


@router.post(
    "/attempts/{attempt_id}/submit",
    operation_id="submitAttempt",
    summary="Hand an attempt in",
    description="Handing in twice changes nothing. After the deadline it hands in what was saved in time.",
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def submit(
    attempt_id: AttemptId, response: Response, services: Services, asked: AskedInAttempt
) -> AttemptState:
    outcome = await submit_attempt(services.write, asked, attempt_id)
    return _answer(response, services, outcome.stream_id, outcome)


@router.post(
    "/exams/{exam_id}/submit",
    operation_id="submitExam",
    summary="Hand in one's latest attempt at an exam",
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def submit_latest(
    exam_id: ExamId, response: Response, services: Services, asked: Asked
) -> AttemptState:
    outcome = await submit_exam(services.write, asked, exam_id)
    return _answer(response, services, outcome.stream_id, outcome)


async def _next(
    services: WriteServices, state: Attempt, examinee_id: str, language: Language | None
) -> NextItem | None:
    if not is_adaptive(state):
        return None
    return await shown_next(services.write, await whats_next(services.write, state), examinee_id, language)


def _answer(
    response: Response, services: WriteServices, attempt_id: str, known: Loaded[Attempt] | Outcome[Attempt]
) -> AttemptState:
    written(response, attempt_id, known.version)
    submitted_by: SubmittedBy | None = None
    status: Literal["in_progress", "submitted", "scored"]
    match known.state:
        case NotStarted():
            raise AssertionError("a command on an attempt leaves an attempt")
        case InProgress():
            facts, status = known.state, "in_progress"
        case Submitted():
            facts, status, submitted_by = known.state.attempt, "submitted", known.state.by
        case Scored():
            facts, status, submitted_by = known.state.attempt, "scored", known.state.by
        case _:
            assert_never(known.state)
    return AttemptState(
        attempt_id=attempt_id,
        exam_id=facts.exam_id,
        examinee_id=facts.examinee_id,
        ordinal=facts.ordinal,
        status=status,
        submitted_by=submitted_by,
        started_at=facts.started_at,
        deadline=facts.deadline,
        server_now=services.clock(),
        responses_saved=sum(1 for saved in facts.responses.values() if saved.response is not None),
        version=known.version,
    )


def _saved(outcome: Outcome[Attempt], item_id: str) -> tuple[InProgress, SavedResponse]:
    facts = outcome.state.attempt if isinstance(outcome.state, Submitted | Scored) else outcome.state
    assert isinstance(facts, InProgress)
    return facts, facts.responses[item_id]


def _token_ttl_s(state: AttemptState) -> int:
    if state.deadline is None:
        return LONGEST_ATTEMPT_TOKEN_TTL_S
    remaining_s = (state.deadline - state.server_now).total_seconds()
    # Starting again gives a new one: no token need live as long as a window of weeks.
    return min(max(0, round(remaining_s)) + ATTEMPT_TOKEN_MARGIN_S, LONGEST_ATTEMPT_TOKEN_TTL_S)


def _domain(body: ResponseBody | None) -> responses.Response | None:
    match body:
        case None:
            return None
        case OptionsResponse():
            return responses.ChosenOptions(tuple(body.options))
        case NumberResponse():
            return responses.GivenNumber(body.value)
        case TextResponse():
            return responses.GivenText(body.text)
        case _:
            assert_never(body)


def _body(response: responses.Response | None) -> ResponseBody | None:
    match response:
        case None:
            return None
        case responses.ChosenOptions():
            return OptionsResponse(options=list(response.options))
        case responses.GivenNumber():
            return NumberResponse(value=response.value)
        case responses.GivenText():
            return TextResponse(text=response.text)
        case _:
            assert_never(response)
