"""Register, sign in, stay signed in."""

import re
from datetime import date, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from commands.api.bodies import DisplayName, written
from commands.api.services import Grant, Services, WriteServices
from commands.api.sessions import client_of
from commands.context import CommandContext
from commands.register_user import RegisterUser, normal_email, register_user
from commands.sign_in import (
    SignedIn,
    WrongCredentials,
    sign_in,
    sign_in_service,
    signed_in,
    still_signed_in,
)
from domain.errors import Malformed
from domain.events import Actor
from domain.languages import Language
from domain.users.account import Registered
from domain.users.addresses import ADDRESS_PATTERN, ENCODED_WORD, LONGEST_ADDRESS
from domain.users.countries import COUNTRIES
from domain.zones import ZoneId
from infra.http.account_limit import count_try
from infra.http.errors import SignInRefused
from infra.http.guards import public
from infra.http.idempotency import CommandId
from infra.http.principal import Principal, RoleGrant
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute, short_way
from infra.http.text import RequestModel

router = APIRouter(prefix="/api/v1/auth", tags=["auth"], route_class=ApiRoute)

A_DAY = timedelta(days=1)
BIRTH_DATE_PATTERN = "^(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$"


class BirthDateInTheFuture(Malformed):
    """Nobody registers before they are born."""

    code = "birth-date-in-the-future"
    title = "The birth date is in the future"


def _known_country(code: str) -> str:
    if code not in COUNTRIES:
        raise PydanticCustomError("unknown_country", "There is no country with this code (ISO 3166-1)")
    return code


def _day_of_the_calendar(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("no_such_day", "The calendar has no such day") from None
    return text


def _without_encoded_word(address: str) -> str:
    if ENCODED_WORD in address:
        raise PydanticCustomError("encoded_word", "No letter can be written to an address with '=?' in it")
    return address


Email = Annotated[
    str,
    Field(
        max_length=LONGEST_ADDRESS,
        pattern=ADDRESS_PATTERN,
        examples=["minji@example.org"],
        # Patterns that look ahead are none for pydantic, and are for those who read the document.
        json_schema_extra={"pattern": ADDRESS_PATTERN.replace("^", rf"^(?!.*{re.escape(ENCODED_WORD)})", 1)},
    ),
    AfterValidator(_without_encoded_word),
]
Password = Annotated[str, Field(min_length=1, max_length=256, examples=["correct horse battery"])]

Country = Annotated[str, Field(json_schema_extra={"enum": list(COUNTRIES)}), AfterValidator(_known_country)]
BirthDate = Annotated[
    str,
    Field(pattern=BIRTH_DATE_PATTERN, examples=["2009-03-17"], json_schema_extra={"format": "date"}),
    AfterValidator(_day_of_the_calendar),
]


class Registration(RequestModel):
    """Roles cannot be asked for: whoever registers is a student."""

    email: Email
    password: Password
    display_name: DisplayName = Field(examples=["김민지"])
    language: Language = "ko"
    zone_id: ZoneId | None = Field(default=None, description="The default zone where it is left out.")
    country: Country | None = Field(default=None, description="ISO 3166-1, two letters.", examples=["KR"])
    birth_date: BirthDate | None = Field(
        default=None, description="With the country it says who has to consent to what."
    )


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


async def _if_there_is_room(request: Request) -> None:
    """Of ten thousand who come at once most are sent away here, before anything is made of what they send."""
    services: WriteServices = request.app.state.services
    services.password_rules.require_room()


@router.post(
    "/register",
    operation_id="register",
    summary="Open an account",
    status_code=201,
    dependencies=[Depends(public)],
    responses=problem_responses(400, 409, 413, 415, 422, 503),
)
@short_way(_if_there_is_room)
async def register_route(
    body: Registration, request: Request, response: Response, services: Services, command_id: CommandId
) -> RegisteredUser:
    services.password_rules.check(body.password)
    # A day ahead of the server it may be that day already somewhere.
    if body.birth_date is not None and date.fromisoformat(body.birth_date) > services.clock().date() + A_DAY:
        raise BirthDateInTheFuture
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
        country=body.country,
        birth_date=body.birth_date,
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
@short_way(_if_there_is_room)
async def login(body: Credentials, request: Request, services: Services) -> AccessTokens:
    await count_try(request, services.write.keyed_hash(normal_email(body.email)))
    try:
        who = await sign_in(services.write, body.email, body.password)
    except WrongCredentials:
        services.sign_in.failures.count()
        raise SignInRefused from None
    return await open_session(services, request, who)


async def open_session(services: WriteServices, request: Request, who: SignedIn) -> AccessTokens:
    """The tokens of a new session, for somebody who has just proved who they are. Raises SignInRefused."""
    grant = await services.refresh_tokens.start(
        who.user_id,
        services.new_id(),
        services.clock(),
        client=client_of(request),
        credential_id=who.account.credential_id,
    )
    # Whoever takes a way in away appends that first and then ends the sessions that there are: either they
    # find this one, or it is seen here.
    try:
        now = await still_signed_in(services.write, who)
    except WrongCredentials:
        await services.refresh_tokens.revoke(
            grant.session_id, services.clock(), reason="the way in was taken away meanwhile"
        )
        raise SignInRefused from None
    return _tokens(services, now, grant)


@router.post(
    "/refresh",
    operation_id="refresh",
    summary="Exchange a refresh token for new tokens",
    description="A refresh token is good once. Sent again within seconds (the answer got lost) it gives the "
    "same successor; sent again later it signs the whole session out, because then somebody has copied it.",
    dependencies=[Depends(public)],
    responses=problem_responses(400, 401, 413, 415, 422, 503),
)
async def refresh(body: RefreshRequest, request: Request, services: Services) -> AccessTokens:
    client = client_of(request)
    grant = await services.refresh_tokens.rotate(body.refresh_token, services.clock(), client=client)
    try:
        who = await signed_in(services.write, grant.subject_id)
    except WrongCredentials:
        raise SignInRefused from None
    if grant.credential_id is not None and grant.credential_id != who.account.credential_id:
        # Whoever changed the password was stopped before the other sign-ins were ended.
        await services.refresh_tokens.revoke(
            grant.session_id, services.clock(), reason="the password was changed"
        )
        raise SignInRefused
    return _tokens(services, who, grant)


@router.post(
    "/token",
    operation_id="issueServiceToken",
    summary="Sign a service in with its client credentials",
    dependencies=[Depends(public)],
    responses=problem_responses(400, 401, 413, 415, 422, 503),
)
@short_way(_if_there_is_room)
async def issue_service_token(body: ClientCredentials, services: Services) -> AccessTokens:
    try:
        org_id, organization, client = await sign_in_service(
            services.write, body.client_id, body.client_secret
        )
    except WrongCredentials:
        services.sign_in.failures.count()
        raise SignInRefused from None
    principal = Principal(
        subject_id=client.client_id,
        zone_id=organization.zone_id,
        roles=tuple(RoleGrant(role, org_id) for role in client.roles),
        session_id=services.new_id(),
    )
    token, expires_in = services.access_tokens.issue(principal)
    return AccessTokens(access_token=token, expires_in=expires_in)


def _tokens(services: WriteServices, who: SignedIn, grant: Grant) -> AccessTokens:
    principal = Principal(
        subject_id=who.user_id,
        zone_id=who.account.zone_id,
        roles=tuple(RoleGrant(granted.role, granted.org_id) for granted in who.account.roles),
        session_id=grant.session_id,
        account_version=who.version,
    )
    token, expires_in = services.access_tokens.issue(principal)
    return AccessTokens(access_token=token, expires_in=expires_in, refresh_token=grant.token)
