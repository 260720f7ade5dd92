"""Accounts: one's own profile; the end of somebody's."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.bodies import DisplayName, written
from commands.api.services import Services
from commands.change_profile import ChangeProfile, change_profile
from commands.deactivate_user import DeactivateUser, deactivate_user
from domain.languages import Language
from domain.users.account import Registered
from infra.http.etags import ExpectedVersion
from infra.http.guards import require_role
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, RequestModel, SafeText

router = APIRouter(prefix="/api/v1/users", tags=["users"], route_class=ApiRoute)


class ProfileChange(RequestModel):
    """What is left out stays as it is."""

    display_name: DisplayName | None = Field(default=None, examples=["김민지"])
    language: Language | None = None


class Profile(BaseModel):
    user_id: str
    display_name: str
    language: Language
    version: int


@router.put(
    "/me",
    operation_id="changeMyProfile",
    summary="Change one's own profile",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
)
async def change_my_profile(
    body: ProfileChange,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> Profile:
    command = ChangeProfile(
        user_id=asked.actor.id,
        display_name=body.display_name,
        language=body.language,
        expected_version=expected_version,
    )
    outcome = await change_profile(services.write, asked, command)
    assert isinstance(outcome.state, Registered)
    written(response, outcome.stream_id, outcome.version)
    return Profile(
        user_id=outcome.stream_id,
        display_name=outcome.state.display_name,
        language=outcome.state.language,
        version=outcome.version,
    )


class Deactivation(RequestModel):
    reason: Annotated[str, SafeText(1, 500)] = Field(examples=["left the school"])


@router.post(
    "/{user_id}/deactivation",
    operation_id="deactivateUser",
    summary="Deactivate an account",
    description="For system administrators, and for administrators of the organisations that the person "
    "belongs to, of all of them. Nobody signs in to the account any longer, and its tokens are refused "
    "within a second. What the person did stays.",
    status_code=204,
    dependencies=[Depends(require_role("sys_admin", "org_admin"))],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def deactivate_user_route(
    user_id: Annotated[str, Path(description="Id of the user.", examples=[f"user-{EXAMPLE_UUID7}"])],
    body: Deactivation,
    asked: Asked,
    services: Services,
) -> Response:
    command = DeactivateUser(user_id=user_id, reason=body.reason)
    outcome = await deactivate_user(services.write, asked, command)
    # Also where it was deactivated before: whoever did that may have been stopped at this point.
    await services.refresh_tokens.revoke_all(
        outcome.stream_id, services.clock(), reason="the account was deactivated"
    )
    await services.sign_in.revocations.end([outcome.stream_id])
    answer = Response(status_code=204)
    written(answer, outcome.stream_id, outcome.version)
    return answer
