"""Register, sign in, stay signed in."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from commands.api.bodies import DisplayName, written
from commands.api.services import Grant, Services, WriteServices
from commands.context import CommandContext
from commands.register_user import RegisterUser, register_user
from commands.sign_in import WrongCredentials, sign_in, sign_in_service, signed_in
from domain.events import Actor
from domain.languages import Language
from domain.users.account import Registered
from domain.zones import ZoneId
from infra.http.errors import SignInRefused
from infra.http.guards import public
from infra.http.idempotency import CommandId
from infra.http.principal import Principal, RoleGrant
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel

router = APIRouter(prefix="/api/v1/auth", tags=["auth"], route_class=ApiRoute)

Email = Annotated[
    str,
    Field(
        max_length=254,
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$",
        examples=["minji@example.org"],
    ),
]
Password = Annotated[str, Field(min_length=1, max_length=256, examples=["correct horse battery"])]


class Registration(RequestModel):
    """Roles cannot be asked for: whoever registers is a student."""

    email: Email
    password: Password
    display_name: DisplayName = Field(examples=["김민지"])
    language: Language = "ko"
    zone_id: ZoneId | None = Field(default=None, description="The default zone where it is left out.")


class RegisteredUser(BaseModel):
    user_id: str
    zone_id: ZoneId
    display_name: str
    language: Language


class Credentials(RequestModel):
    email: Email
    password: Password


class RefreshRequest(RequestModel):
    refresh_token: str = Field(
        min_length=1,
        max_length=200,
        pattern="^[A-Za-z0-9_-]+$",
        examples=["0mYtF0nQbq4Ie2cQ9m1uR8mJkXy5Zb7dT3sVhLwPc6A"],
    )


class ClientCredentials(RequestModel):
    grant_type: Literal["client_credentials"]
    client_id: str = Field(min_length=1, max_length=100, pattern="^[A-Za-z0-9-]+$")
    client_secret: Password


class AccessTokens(BaseModel):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - not a secret but a kind
    expires_in: int = Field(description="Seconds.", examples=[900])
    refresh_token: str | None = Field(
        default=None, description="Good for one refresh; services have none and sign in again."
    )


@router.post(
    "/register",
    operation_id="register",
    summary="Open an account",
    status_code=201,
    dependencies=[Depends(public)],
    responses=problem_responses(400, 409, 413, 415, 422, 503),
)
async def register_route(
    body: Registration, request: Request, response: Response, services: Services, command_id: CommandId
) -> RegisteredUser:
    services.password_rules.check(body.password)
    context = CommandContext(
        actor=Actor("user", "anonymous"),
        zone_id=None,
        org_id=None,
        correlation_id=request.state.request_id,
        command_id=command_id,
        repeatable=getattr(request.state, "command_id", None) is not None,
    )
    command = RegisterUser(
        email=body.email,
        password=body.password,
        display_name=body.display_name,
        language=body.language,
        zone_id=body.zone_id or services.default_zone,
    )
    outcome = await register_user(services.write, context, command)
    assert isinstance(outcome.state, Registered)
    written(response, outcome.stream_id, outcome.version)
    return RegisteredUser(
        user_id=outcome.stream_id,
        zone_id=outcome.state.zone_id,
        display_name=outcome.state.display_name,
        language=outcome.state.language,
    )


@router.post(
    "/login",
    operation_id="login",
    summary="Sign in with e-mail and password",
    dependencies=[Depends(public)],
    responses=problem_responses(400, 401, 413, 415, 422, 503),
)
async def login(body: Credentials, services: Services) -> AccessTokens:
    try:
        user_id, account = await sign_in(services.write, body.email, body.password)
    except WrongCredentials:
        raise SignInRefused from None
    grant = await services.refresh_tokens.start(user_id, services.new_id(), services.clock())
    return _tokens(services, account, grant)


@router.post(
    "/refresh",
    operation_id="refresh",
    summary="Exchange a refresh token for new tokens",
    description="A refresh token is good once. Sent again within seconds (the answer got lost) it gives the "
    "same successor; sent again later it signs the whole session out, because then somebody has copied it.",
    dependencies=[Depends(public)],
    responses=problem_responses(400, 401, 413, 415, 422, 503),
)
async def refresh(body: RefreshRequest, services: Services) -> AccessTokens:
    grant = await services.refresh_tokens.rotate(body.refresh_token, services.clock())
    try:
        return _tokens(services, await signed_in(services.write, grant.subject_id), grant)
    except WrongCredentials:
        raise SignInRefused from None


@router.post(
    "/token",
    operation_id="issueServiceToken",
    summary="Sign a service in with its client credentials",
    dependencies=[Depends(public)],
    responses=problem_responses(400, 401, 413, 415, 422, 503),
)
async def issue_service_token(body: ClientCredentials, services: Services) -> AccessTokens:
    try:
        org_id, organization, client = await sign_in_service(
            services.write, body.client_id, body.client_secret
        )
    except WrongCredentials:
        raise SignInRefused from None
    principal = Principal(
        subject_id=client.client_id,
        zone_id=organization.zone_id,
        roles=tuple(RoleGrant(role, org_id) for role in client.roles),
        session_id=services.new_id(),
    )
    token, expires_in = services.access_tokens.issue(principal)
    return AccessTokens(access_token=token, expires_in=expires_in)


def _tokens(services: WriteServices, account: Registered, grant: Grant) -> AccessTokens:
    principal = Principal(
        subject_id=grant.subject_id,
        zone_id=account.zone_id,
        roles=tuple(RoleGrant(granted.role, granted.org_id) for granted in account.roles),
        session_id=grant.session_id,
    )
    token, expires_in = services.access_tokens.issue(principal)
    return AccessTokens(access_token=token, expires_in=expires_in, refresh_token=grant.token)
