"""Passkeys: add one to one's account, sign in with it, see and remove one's own.

Bodies are what browsers make of a credential (`PublicKeyCredential.toJSON()`, WebAuthn level 3).
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from commands.api.asking import Asked
from commands.api.auth import AccessTokens, open_session
from commands.api.bodies import WholeNumber, written
from commands.api.fresh import FreshPrincipal
from commands.api.services import Services
from commands.external_identities import opened
from commands.kinds import USER
from commands.passkeys import PasskeyRefused, register_passkey, remove_passkey, sign_in_with_passkey
from commands.sign_in import WrongCredentials
from domain.users.events import PasskeyRegistered
from infra.http.consistency import SentConsistencyToken
from infra.http.errors import SignInRefused
from infra.http.guards import CurrentPrincipal, public
from infra.http.idempotency import command_id
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, RequestModel, SafeText

router = APIRouter(prefix="/api/v1", tags=["auth"], route_class=ApiRoute)

_BASE64URL = "^[A-Za-z0-9_-]+$"

CredentialId = Annotated[
    str,
    Field(max_length=1364, pattern=_BASE64URL, examples=["q83vEjRWeJCrze8SNFZ4kA"]),
]
Small = Annotated[
    str, Field(max_length=4096, pattern=_BASE64URL, examples=["eyJ0eXBlIjoid2ViYXV0aG4uZ2V0In0"])
]
Large = Annotated[str, Field(max_length=32_768, pattern=_BASE64URL, examples=["o2NmbXRkbm9uZWdhdHRTdG10oA"])]
Attachment = Literal["platform", "cross-platform"]
PasskeyId = Annotated[str, Path(description="Id of the passkey.", examples=[EXAMPLE_UUID7])]


class _FromBrowser(RequestModel):
    """Names as WebAuthn has them."""

    model_config = ConfigDict(alias_generator=to_camel)


class AttestationResponse(_FromBrowser):
    """`AuthenticatorAttestationResponseJSON`."""

    client_data: Small = Field(alias="clientDataJSON")
    attestation_object: Large
    authenticator_data: Large | None = None
    transports: list[Annotated[str, Field(max_length=32)]] | None = Field(default=None, max_length=10)
    public_key: Large | None = None
    public_key_algorithm: Annotated[int, WholeNumber(-100_000, 100_000)] | None = None


class AssertionResponse(_FromBrowser):
    """`AuthenticatorAssertionResponseJSON`; without `userHandle` nobody is named."""

    client_data: Small = Field(alias="clientDataJSON")
    authenticator_data: Small
    signature: Small
    user_handle: Annotated[str, Field(max_length=100, pattern=_BASE64URL)] | None = None


class _Credential(_FromBrowser):
    id: CredentialId
    raw_id: CredentialId
    type: Literal["public-key"]
    authenticator_attachment: Attachment | None = None
    client_extension_results: dict[str, Any] = Field(default_factory=dict, max_length=20)


class RegisteringCredential(_Credential):
    response: AttestationResponse


class SigningInCredential(_Credential):
    response: AssertionResponse


class NewPasskey(RequestModel):
    name: Annotated[str, SafeText(1, 60)] = Field(
        description="To tell it from others.", examples=["My phone"]
    )
    credential: RegisteringCredential


class PasskeySignIn(RequestModel):
    credential: SigningInCredential


class PasskeyOptions(BaseModel):
    public_key: dict[str, Any] = Field(
        description="For `PublicKeyCredential.parseCreationOptionsFromJSON()` or "
        "`parseRequestOptionsFromJSON()`. Good for one answer, for five minutes."
    )


class ShownPasskey(BaseModel):
    passkey_id: str
    name: str
    created_at: datetime | None
    last_used_at: datetime | None
    suspected_copy_at: datetime | None = Field(
        description="When its counter went back, which the counter of one authenticator does not do."
    )


class Passkeys(BaseModel):
    passkeys: list[ShownPasskey]


class AddedPasskey(BaseModel):
    passkey_id: str
    name: str


@router.post(
    "/auth/passkey-options",
    operation_id="startPasskeySignIn",
    summary="Begin to sign in with a passkey",
    dependencies=[Depends(public)],
    responses=problem_responses(422, 503),
)
async def start_passkey_sign_in(services: Services) -> PasskeyOptions:
    return PasskeyOptions(public_key=await services.other_ways.passkeys.sign_in_options())


@router.post(
    "/auth/passkeys",
    operation_id="finishPasskeySignIn",
    summary="Sign in with a passkey",
    description="The same answer as that of a sign-in by password.",
    dependencies=[Depends(public)],
    responses=problem_responses(400, 401, 413, 415, 422, 503),
)
async def finish_passkey_sign_in(body: PasskeySignIn, request: Request, services: Services) -> AccessTokens:
    credential = body.credential.model_dump(by_alias=True, exclude_none=True)
    try:
        who = await sign_in_with_passkey(services.write, services.other_ways.passkeys, credential)
    except (PasskeyRefused, WrongCredentials):
        services.sign_in.failures.count()
        raise SignInRefused from None
    return await open_session(services, request, who)


@router.get(
    "/users/me/passkeys",
    operation_id="listMyPasskeys",
    summary="Passkeys that open one's own account",
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def list_my_passkeys(
    principal: CurrentPrincipal, services: Services, _own_write: SentConsistencyToken
) -> Passkeys:
    account = opened((await services.write.streams.read(USER, principal.subject_id)).state)
    uses = await services.other_ways.passkeys.uses(principal.subject_id)
    shown = []
    for each in account.ways_in.passkeys:
        use = uses.get(each.credential_ref)
        shown.append(
            ShownPasskey(
                passkey_id=each.credential_ref,
                name=each.name,
                created_at=None if use is None else use.created_at,
                last_used_at=None if use is None else use.last_used_at,
                suspected_copy_at=None if use is None else use.suspected_copy_at,
            )
        )
    return Passkeys(passkeys=shown)


@router.post(
    "/users/me/passkey-options",
    operation_id="startPasskeyRegistration",
    summary="Begin to add a passkey to one's own account",
    description="For those who have signed in within the last ten minutes.",
    dependencies=[Depends(command_id)],
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def start_passkey_registration(principal: FreshPrincipal, services: Services) -> PasskeyOptions:
    account = opened((await services.write.streams.read(USER, principal.subject_id)).state)
    options = await services.other_ways.passkeys.registration_options(
        principal.subject_id, account.email or account.display_name
    )
    return PasskeyOptions(public_key=options)


@router.post(
    "/users/me/passkeys",
    operation_id="registerPasskey",
    summary="Add a passkey to one's own account",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def register_passkey_route(
    body: NewPasskey, _principal: FreshPrincipal, asked: Asked, response: Response, services: Services
) -> AddedPasskey:
    credential = body.credential.model_dump(by_alias=True, exclude_none=True)
    outcome = await register_passkey(
        services.write, services.other_ways.passkeys, asked, credential, body.name
    )
    written(response, outcome.stream_id, outcome.version)
    [added] = [event for event in outcome.events if isinstance(event, PasskeyRegistered)]
    return AddedPasskey(passkey_id=added.credential_ref, name=added.name)


@router.delete(
    "/users/me/passkeys/{passkey_id}",
    operation_id="removePasskey",
    summary="Remove a passkey from one's own account",
    description="All other sessions end. The last way into an account cannot be taken away.",
    status_code=204,
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def remove_passkey_route(
    passkey_id: PasskeyId, principal: FreshPrincipal, asked: Asked, services: Services
) -> Response:
    ways = services.other_ways
    outcome = await remove_passkey(services.write, ways.passkeys, ways.oidc, asked, passkey_id)
    await services.refresh_tokens.revoke_all(
        outcome.stream_id, services.clock(), reason="a passkey was removed", but=principal.session_id
    )
    answer = Response(status_code=204)
    written(answer, outcome.stream_id, outcome.version)
    return answer
