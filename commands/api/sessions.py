"""One's own sign-ins: see them, end them. And the keys with which anybody can check an access token.

The tables of the sign-ins are asked themselves, so that an answer has every write that was answered before
it: a consistency token is honoured as it is.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from commands.api.services import Services
from domain.errors import NotFound
from domain.identifiers import UUID7_PATTERN
from infra.http.consistency import SentConsistencyToken
from infra.http.guards import CurrentPrincipal, public
from infra.http.idempotency import command_id
from infra.http.problems import problem_responses
from infra.http.rate_limits import RateLimits
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, has_forbidden_characters

router = APIRouter(prefix="/api/v1/auth", tags=["auth"], route_class=ApiRoute)
well_known = APIRouter(prefix="/.well-known", tags=["auth"], route_class=ApiRoute)

_SESSION_ID = re.compile(UUID7_PATTERN)
LONGEST_USER_AGENT = 300
KEYS_GOOD_FOR_S = 300

# Ending what has ended ends nothing: a request that names itself is told its first answer and no more.
_NAMED = [Depends(command_id)]

SessionId = Annotated[str, Path(description="Id of the session.", examples=[EXAMPLE_UUID7])]


class SessionNotFound(NotFound):
    """There is no such sign-in of the asker's, or it has ended."""

    code = "session-not-found"
    title = "There is no such session"


class ShownSession(BaseModel):
    session_id: str
    current: bool = Field(description="This request belongs to it.")
    started_at: datetime
    last_used_at: datetime = Field(description="When it last took new tokens.")
    expires_at: datetime
    user_agent: str | None = Field(description="What the browser or the app called itself.")
    address: str | None = Field(description="Whence it was used last: an address, or a network.")


class Sessions(BaseModel):
    sessions: list[ShownSession]


class PublicKey(BaseModel):
    """A JWK (RFC 7517, RFC 8037)."""

    model_config = ConfigDict(extra="ignore")

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str
    kid: str
    alg: Literal["EdDSA"]
    use: Literal["sig"]


class KeySet(BaseModel):
    keys: list[PublicKey]


@dataclass(frozen=True, slots=True)
class AskingClient:
    user_agent: str | None
    address: str | None


def client_of(request: Request) -> AskingClient:
    """Where a request comes from. What a browser says of itself may be anything."""
    sent = request.headers.get("user-agent", "")[:LONGEST_USER_AGENT]
    user_agent = None if not sent or has_forbidden_characters(sent) else sent
    return AskingClient(user_agent, _address(request))


def _address(request: Request) -> str | None:
    """As the rate limits count it: behind our own proxies that is what they say."""
    peer = None if request.client is None else request.client.host
    limits: RateLimits | None = getattr(request.app.state, "rate_limits", None)
    if peer is None or limits is None:
        return peer
    return limits.origin.of(peer, ",".join(request.headers.getlist("x-forwarded-for")))[0]


@router.post(
    "/logout",
    operation_id="logout",
    summary="Sign out",
    description="Ends the session of the access token: it, every other token of the session, and its refresh "
    "token are refused from now on.",
    status_code=204,
    dependencies=_NAMED,
    responses=problem_responses(401, 403, 409, 422, 503),
)
async def logout(principal: CurrentPrincipal, services: Services) -> Response:
    ended = await services.refresh_tokens.revoke(principal.session_id, services.clock())
    if not ended:
        # A service has nothing to refresh, and its token is to be refused all the same.
        await services.sign_in.revocations.end([principal.session_id])
    return Response(status_code=204)


@router.get(
    "/sessions",
    operation_id="listSessions",
    summary="One's own sign-ins that are still good",
    responses=problem_responses(401, 403, 422, 503),
)
async def list_sessions(
    principal: CurrentPrincipal, services: Services, _own_write: SentConsistencyToken
) -> Sessions:
    found = await services.refresh_tokens.sessions(principal.subject_id, services.clock())
    return Sessions(
        sessions=[
            ShownSession(
                session_id=each.session_id,
                current=each.session_id == principal.session_id,
                started_at=each.started_at,
                last_used_at=each.last_used_at,
                expires_at=each.expires_at,
                user_agent=each.user_agent,
                address=each.address,
            )
            for each in found
        ]
    )


@router.delete(
    "/sessions",
    operation_id="endAllSessions",
    summary="Sign out everywhere",
    description="This session included.",
    status_code=204,
    dependencies=_NAMED,
    responses=problem_responses(401, 403, 409, 422, 503),
)
async def end_all_sessions(principal: CurrentPrincipal, services: Services) -> Response:
    await services.refresh_tokens.revoke_all(
        principal.subject_id, services.clock(), reason="signed out everywhere"
    )
    await services.sign_in.revocations.end([principal.session_id])
    return Response(status_code=204)


@router.delete(
    "/sessions/{session_id}",
    operation_id="endSession",
    summary="End one of one's own sessions",
    description="Its access tokens are refused within a second, wherever they are shown.",
    status_code=204,
    dependencies=_NAMED,
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def end_session(session_id: SessionId, principal: CurrentPrincipal, services: Services) -> Response:
    ended = _SESSION_ID.fullmatch(session_id) and await services.refresh_tokens.revoke(
        session_id, services.clock(), reason="ended by its owner", subject_id=principal.subject_id
    )
    if not ended:
        raise SessionNotFound
    return Response(status_code=204)


@well_known.get(
    "/jwks.json",
    operation_id="listPublicKeys",
    summary="The keys that access tokens are signed with",
    dependencies=[Depends(public)],
)
async def list_public_keys(response: Response, services: Services) -> KeySet:
    response.headers["Cache-Control"] = f"public, max-age={KEYS_GOOD_FOR_S}"
    keys = services.sign_in.token_keys.verifying_keys()
    return KeySet(keys=[PublicKey.model_validate(each) for each in keys])
