"""An adaptive attempt goes on: what is to be answered next, asked for or followed.

The log itself is asked, which has every write that was answered: a consistency token is honoured as it is.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from commands.api.bodies import written
from commands.api.presenting import AskedLanguage, NextItem, shown_next
from commands.api.services import Services, WriteServices
from commands.kinds import ATTEMPT
from commands.news import Heard
from commands.next_item import (
    Deciding,
    Finished,
    facts_of,
    is_deciding,
    once_decided,
    own_adaptive_attempt,
    whats_next,
)
from commands.streams import Loaded
from commands.write_side import WriteSide
from domain.attempts.attempt import Attempt
from domain.errors import Unavailable
from domain.identifiers import StreamId
from domain.languages import Language
from infra.http.consistency import SentConsistencyToken
from infra.http.errors import PolicyForbids, Unauthenticated
from infra.http.guards import AttemptPrincipal, principal_of
from infra.http.paths import AttemptId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute

LONGEST_WAIT_S = 30
ASK_AGAIN_S = 1
LOOK_AGAIN_S = 5.0
"""How often a stream that nobody tells of anything looks for itself."""

RECONNECT_MS = 1_000

router = APIRouter(prefix="/api/v1/attempts", tags=["attempts"], route_class=ApiRoute)


class NextInAttempt(NextItem):
    attempt_id: str
    deadline: datetime | None
    server_now: datetime
    version: int


def still_deciding(response: Response, attempt_id: StreamId, language: Language | None) -> None:
    """Answers 202, and says where and when to ask again."""
    response.status_code = 202
    asked = "" if language is None else f"?lang={language}"
    response.headers["Location"] = f"/api/v1/attempts/{attempt_id}/next{asked}"
    response.headers["Retry-After"] = str(ASK_AGAIN_S)


STILL_DECIDING: dict[str, Any] = {
    "description": "The engine has not decided yet: ask at `Location`",
    "headers": {
        "Location": {"schema": {"type": "string"}},
        "Retry-After": {"schema": {"type": "integer", "minimum": 0}},
    },
}


@router.get(
    "/{attempt_id}/next",
    operation_id="getNextItem",
    summary="The item to answer now, in an adaptive attempt",
    description="For the examinee, also with the attempt's own token. Waits for the engine where it has not "
    "decided yet. Who comes back after a crash finds the very item that was to be answered.",
    responses={
        202: {"model": NextInAttempt, **STILL_DECIDING},
        **problem_responses(401, 403, 404, 409, 422, 503),
    },
)
async def next_item(
    attempt_id: AttemptId,
    request: Request,
    principal: AttemptPrincipal,
    _own_write: SentConsistencyToken,
    services: Services,
    response: Response,
    wait_s: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT_S, description="How long to wait for the engine, at most.")
    ] = 0.0,
    lang: AskedLanguage = None,
) -> NextInAttempt:
    write, open_answers = services.write, services.open_answers
    with write.streams.news.listening(attempt_id) as heard:
        known = await own_adaptive_attempt(write, attempt_id, principal.subject_id)
        # Whoever waits in too many places already is answered at once.
        if is_deciding(known.state) and wait_s and open_answers.has_room("long poll", attempt_id):
            with open_answers.one("long poll", attempt_id):
                known = await once_decided(write, attempt_id, known, heard, wait_s)
            await _let_in_again(request, services)
    found = await whats_next(write, known.state)
    if isinstance(found, Deciding):
        still_deciding(response, attempt_id, lang)
    written(response, attempt_id, known.version)
    shown = await shown_next(write, found, principal.subject_id, lang)
    return NextInAttempt(
        **shown.model_dump(),
        attempt_id=attempt_id,
        deadline=facts_of(known.state).deadline,
        server_now=services.clock(),
        version=known.version,
    )


async def _followed(
    attempt_id: AttemptId, principal: AttemptPrincipal, _own_write: SentConsistencyToken, services: Services
) -> AsyncIterator[Heard]:
    """Refuses while there is something to answer with; listens for as long as the stream is open."""
    await own_adaptive_attempt(services.write, attempt_id, principal.subject_id)
    with (
        services.open_answers.one("event stream", attempt_id),
        services.write.streams.news.listening(attempt_id) as heard,
    ):
        yield heard


@router.get(
    "/{attempt_id}/events",
    operation_id="followAttempt",
    summary="Follow an adaptive attempt: server-sent events",
    description="For the examinee, also with the attempt's own token. An event `item` holds the item to "
    "answer now, as `getNextItem` shows it, and `finished` ends the stream; `id` is the version of the "
    "attempt. What was answered in the meantime is not told again. The stream ends when the token expires, "
    "and when a rule of access has taken it away.",
    response_class=EventSourceResponse,
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def follow(
    attempt_id: AttemptId,
    request: Request,
    principal: AttemptPrincipal,
    services: Services,
    heard: Annotated[Heard, Depends(_followed)],
    last_event_id: Annotated[
        str,
        Header(
            alias="Last-Event-ID",
            pattern="^(0|[1-9][0-9]{0,18})$",
            description="Of the event that was received last; it is not sent again.",
            examples=["7"],
        ),
    ] = "0",
    lang: AskedLanguage = None,
) -> AsyncIterator[ServerSentEvent]:
    # At once, so that the client knows that it is connected.
    yield ServerSentEvent(comment="following", retry=RECONNECT_MS)
    seen = int(last_event_id)
    try:
        async for known in _looks(services.write, attempt_id, heard):
            await _let_in_again(request, services)
            if seen > known.version:
                seen = 0  # no event of this attempt had such an id
            found = await whats_next(services.write, known.state)
            if isinstance(found, Deciding) or (known.version == seen and not isinstance(found, Finished)):
                continue
            seen = known.version
            shown = await shown_next(services.write, found, principal.subject_id, lang)
            yield ServerSentEvent(event=shown.status, id=str(seen), data=shown)
            if isinstance(found, Finished):
                return
    except (Unauthenticated, PolicyForbids, Unavailable):
        # The answer has begun and cannot be a refusal any more; whoever follows comes back by itself.
        return


async def _looks(write: WriteSide, attempt_id: StreamId, heard: Heard) -> AsyncIterator[Loaded[Attempt]]:
    """The attempt now, on all news, and now and then; ends when the process is to end."""
    known = await write.streams.read(ATTEMPT, attempt_id)
    while True:
        yield known
        rung = await heard.wait(LOOK_AGAIN_S)
        if heard.closed:
            return
        found = await write.streams.peek(ATTEMPT, attempt_id) if rung else known
        if found.version <= known.version:
            found = await write.streams.read(ATTEMPT, attempt_id)
        known = found


async def _let_in_again(request: Request, services: WriteServices) -> None:
    """What the guard asked when the answer began, which may have changed while it went on.

    Raises `Unauthenticated` and `PolicyForbids`.
    """
    principal = principal_of(request, services, again=True)
    if principal is None:
        raise Unauthenticated
    if not services.policy_wall.has_entered(principal):
        await services.policy_wall.enter(request, principal)
