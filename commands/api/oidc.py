"""Sign in with another identity provider; link such identities to one's account and unlink them.

The account's own stream is asked, so that an answer has every write that was answered before it: a
consistency token is honoured as it is.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.auth import AccessTokens, open_session
from commands.api.bodies import written
from commands.api.fresh import FreshPrincipal
from commands.api.services import Services
from commands.context import CommandContext
from commands.external_identities import (
    ProofRefused,
    Returned,
    link_identity,
    opened,
    sign_in_with_identity,
    unlink_identity,
)
from commands.kinds import USER
from commands.sign_in import WrongCredentials
from domain.events import Actor
from domain.languages import Language
from domain.zones import ZoneId
from infra.http.consistency import SentConsistencyToken
from infra.http.errors import SignInRefused
from infra.http.guards import CurrentPrincipal, public
from infra.http.idempotency import command_id
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel

router = APIRouter(prefix="/api/v1", tags=["auth"], route_class=ApiRoute)

ProviderName = Annotated[str, Path(description="Name of the provider.", max_length=40, examples=["example"])]
OwnRandom = Annotated[str, Field(min_length=43, max_length=43, pattern="^[A-Za-z0-9_-]+$")]
EXAMPLE_RANDOM = "0mYtF0nQbq4Ie2cQ9m1uR8mJkXy5Zb7dT3sVhLwPc6A"


class Provider(BaseModel):
    name: str = Field(examples=["example"])
    title: str = Field(description="What people know it by.")


class Providers(BaseModel):
    providers: list[Provider]


class SignInStart(RequestModel):
    """Of a new account, where the identity opens none yet."""

    zone_id: ZoneId | None = Field(default=None, description="The default zone where it is left out.")
    language: Language = Field(default="ko", examples=["ko"])


class StartedSignIn(BaseModel):
    authorization_url: str = Field(description="Where to send the browser.")
    state: str = Field(description="The provider sends it back with the code.")
    binding: str = Field(
        description="Keep it in the browser (session storage) and send it with the code: it proves that who "
        "finishes is who has started."
    )
    expires_at: datetime


class ProviderAnswer(RequestModel):
    code: str = Field(
        min_length=1,
        max_length=2048,
        pattern="^[!-~]+$",
        description="As the provider sent it.",
        examples=["SplxlOBeZQQYbYS6WxSbIA"],
    )
    state: OwnRandom = Field(description="As the provider sent it.", examples=[EXAMPLE_RANDOM])
    binding: OwnRandom = Field(description="As the start was answered.", examples=[EXAMPLE_RANDOM])
    iss: str | None = Field(
        default=None,
        max_length=500,
        pattern="^[!-~]+$",
        description="As the provider sent it, if it did (RFC 9207).",
        examples=["https://id.example.org"],
    )

    def returned(self) -> Returned:
        return Returned(code=self.code, state=self.state, binding=self.binding, issuer=self.iss)


class LinkedIdentities(BaseModel):
    providers: list[str] = Field(description="At which an identity is linked to the account.")


@router.get(
    "/auth/oidc/providers",
    operation_id="listIdentityProviders",
    summary="Providers with which people sign in here",
    dependencies=[Depends(public)],
    responses=problem_responses(422, 503),
)
async def list_identity_providers(services: Services, _own_write: SentConsistencyToken) -> Providers:
    shown = services.other_ways.oidc.shown
    return Providers(providers=[Provider(name=name, title=title) for name, title in shown])


@router.post(
    "/auth/oidc/{provider}/start",
    operation_id="startProviderSignIn",
    summary="Begin to sign in with an identity provider",
    dependencies=[Depends(public)],
    responses=problem_responses(400, 404, 413, 415, 422, 503),
)
async def start_provider_sign_in(
    provider: ProviderName, body: SignInStart, services: Services
) -> StartedSignIn:
    return await _started(
        services, provider, zone_id=body.zone_id or services.default_zone, language=body.language
    )


@router.post(
    "/auth/oidc/{provider}/callback",
    operation_id="finishProviderSignIn",
    summary="Sign in with what the identity provider has sent back",
    description="The same answer as that of a sign-in by password. An identity that opens no account opens a "
    "new one, unless an account has the e-mail address that the provider vouches for: its owner signs in to "
    "that one and links the identity (`account-exists`).",
    dependencies=[Depends(public)],
    responses=problem_responses(400, 401, 404, 409, 413, 415, 422, 503),
)
async def finish_provider_sign_in(
    provider: ProviderName,
    body: ProviderAnswer,
    request: Request,
    response: Response,
    services: Services,
) -> AccessTokens:
    context = CommandContext(
        actor=Actor("user", "anonymous"),
        zone_id=None,
        org_id=None,
        correlation_id=request.state.request_id,
        command_id=services.new_id(),
    )
    ways = services.other_ways.identities
    try:
        proven = await ways.providers.proven(provider, body.returned(), None)
        who = await sign_in_with_identity(services.write, ways.claims, context, proven)
    except (ProofRefused, WrongCredentials):
        services.sign_in.failures.count()
        raise SignInRefused from None
    # The account may be a moment old: a read that carries this sees it.
    written(response, who.user_id, who.version)
    return await open_session(services, request, who)


@router.get(
    "/users/me/identities",
    operation_id="listMyIdentities",
    summary="Identities that open one's own account",
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def list_my_identities(
    principal: CurrentPrincipal, services: Services, _own_write: SentConsistencyToken
) -> LinkedIdentities:
    account = opened((await services.write.streams.read(USER, principal.subject_id)).state)
    return LinkedIdentities(providers=[each.provider for each in account.ways_in.identities])


@router.post(
    "/users/me/identities/{provider}/start",
    operation_id="startIdentityLink",
    summary="Begin to link an identity to one's own account",
    description="For those who have signed in within the last ten minutes.",
    dependencies=[Depends(command_id)],
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def start_identity_link(
    provider: ProviderName, principal: FreshPrincipal, services: Services
) -> StartedSignIn:
    account = opened((await services.write.streams.read(USER, principal.subject_id)).state)
    return await _started(
        services,
        provider,
        zone_id=account.zone_id,
        language=account.language,
        user_id=principal.subject_id,
    )


@router.post(
    "/users/me/identities/{provider}",
    operation_id="linkIdentity",
    summary="Link an identity to one's own account with what the provider has sent back",
    status_code=204,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def link_identity_route(
    provider: ProviderName,
    body: ProviderAnswer,
    _principal: FreshPrincipal,
    asked: Asked,
    services: Services,
) -> Response:
    outcome = await link_identity(
        services.write, services.other_ways.identities, asked, provider, body.returned()
    )
    answer = Response(status_code=204)
    written(answer, outcome.stream_id, outcome.version)
    return answer


@router.delete(
    "/users/me/identities/{provider}",
    operation_id="unlinkIdentity",
    summary="Unlink an identity from one's own account",
    description="All other sessions end. The last way into an account cannot be taken away.",
    status_code=204,
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def unlink_identity_route(
    provider: ProviderName, principal: FreshPrincipal, asked: Asked, services: Services
) -> Response:
    outcome = await unlink_identity(services.write, services.other_ways.identities, asked, provider)
    await services.refresh_tokens.revoke_all(
        outcome.stream_id, services.clock(), reason="an identity was unlinked", but=principal.session_id
    )
    answer = Response(status_code=204)
    written(answer, outcome.stream_id, outcome.version)
    return answer


async def _started(
    services: Services,
    provider: str,
    *,
    zone_id: ZoneId,
    language: Language,
    user_id: str | None = None,
) -> StartedSignIn:
    started = await services.other_ways.oidc.start(
        provider, zone_id=zone_id, language=language, user_id=user_id
    )
    return StartedSignIn(
        authorization_url=started.authorization_url,
        state=started.state,
        binding=started.binding,
        expires_at=started.expires_at,
    )
