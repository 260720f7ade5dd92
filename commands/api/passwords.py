"""One's password and one's address: change, set anew by a link, confirm."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from commands.api.asking import Asked
from commands.api.auth import Email, Password
from commands.api.services import Services
from commands.context import CommandContext
from commands.credentials import change_password, reset_password, verify_email
from commands.register_user import normal_email
from commands.sign_in import WrongCredentials
from domain.events import Actor
from domain.users.account import Registered, UserNotFound
from infra.http.account_limit import count_try
from infra.http.guards import CurrentPrincipal, public
from infra.http.idempotency import CommandId, command_id
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel

router = APIRouter(prefix="/api/v1", tags=["auth"], route_class=ApiRoute)

LinkToken = Annotated[
    str,
    Field(
        min_length=43,
        max_length=43,
        pattern="^[A-Za-z0-9_-]+$",
        description="From the link in the mail.",
        examples=["0mYtF0nQbq4Ie2cQ9m1uR8mJkXy5Zb7dT3sVhLwPc6A"],
    ),
]


class PasswordChange(RequestModel):
    current_password: Password
    new_password: Password


class ResetRequest(RequestModel):
    email: Email


class NewPassword(RequestModel):
    token: LinkToken
    new_password: Password


class Confirmation(RequestModel):
    token: LinkToken


@router.put(
    "/users/me/password",
    operation_id="changeMyPassword",
    summary="Change one's own password",
    description="All other sessions end; this one goes on.",
    status_code=204,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def change_my_password(
    body: PasswordChange,
    principal: CurrentPrincipal,
    asked: Asked,
    request: Request,
    services: Services,
) -> Response:
    services.password_rules.check(body.new_password)
    await count_try(request, principal.subject_id)
    try:
        outcome = await change_password(
            services.write,
            asked,
            services.sign_in.links,
            asked.actor.id,
            present=body.current_password,
            wanted=body.new_password,
        )
    except WrongCredentials:
        services.sign_in.failures.count()
        raise
    assert isinstance(outcome.state, Registered)
    if outcome.state.credential_id is not None:
        await services.refresh_tokens.renew_credential(principal.session_id, outcome.state.credential_id)
    await services.refresh_tokens.revoke_all(
        outcome.stream_id, services.clock(), reason="the password was changed", but=principal.session_id
    )
    return Response(status_code=204)


@router.post(
    "/auth/password-reset",
    operation_id="requestPasswordReset",
    summary="Ask for a link with which a forgotten password can be set anew",
    description="The answer is the same, and takes as long, whether or not anybody has the address. The link "
    "is good once, for 30 minutes.",
    status_code=202,
    response_class=Response,
    dependencies=[Depends(public), Depends(command_id)],
    responses=problem_responses(400, 409, 413, 415, 422, 503),
)
async def request_password_reset(body: ResetRequest, services: Services) -> Response:
    email_hash = services.write.keyed_hash(normal_email(body.email))
    await services.write.mail.to_address("password_reset", email_hash)
    return Response(status_code=202)


@router.post(
    "/auth/password-reset/confirm",
    operation_id="resetPassword",
    summary="Set a new password by the link",
    description="All sessions end. Where the address had not been confirmed before, passkeys and linked "
    "identities end too: whoever added them may not be the one to whom the address belongs.",
    status_code=204,
    dependencies=[Depends(public)],
    responses=problem_responses(400, 403, 409, 413, 415, 422, 503),
)
async def reset_password_route(
    body: NewPassword, request: Request, services: Services, command_id: CommandId
) -> Response:
    services.password_rules.check(body.new_password)
    outcome = await reset_password(
        services.write,
        services.other_ways,
        _by_link(request, command_id),
        services.sign_in.links,
        token=body.token,
        wanted=body.new_password,
    )
    await services.refresh_tokens.revoke_all(
        outcome.stream_id, services.clock(), reason="the password was set anew"
    )
    return Response(status_code=204)


@router.post(
    "/users/me/email-verification",
    operation_id="requestEmailVerification",
    summary="Ask for another link that confirms one's address",
    status_code=202,
    response_class=Response,
    dependencies=[Depends(command_id)],
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def request_email_verification(principal: CurrentPrincipal, services: Services) -> Response:
    if principal.kind != "user":
        raise UserNotFound
    await services.write.mail.to_person("verify_email", principal.subject_id)
    return Response(status_code=202)


@router.post(
    "/auth/email-verification",
    operation_id="verifyEmail",
    summary="Confirm an address by the link that was sent to it",
    status_code=204,
    dependencies=[Depends(public)],
    responses=problem_responses(400, 403, 409, 413, 415, 422, 503),
)
async def verify_email_route(
    body: Confirmation, request: Request, services: Services, command_id: CommandId
) -> Response:
    await verify_email(services.write, _by_link(request, command_id), services.sign_in.links, body.token)
    return Response(status_code=204)


def _by_link(request: Request, command_id: str) -> CommandContext:
    return CommandContext(
        actor=Actor("user", "anonymous"),
        zone_id=None,
        org_id=None,
        correlation_id=request.state.request_id,
        command_id=command_id,
    )
