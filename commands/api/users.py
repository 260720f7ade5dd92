"""One's own account."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.bodies import DisplayName, written
from commands.api.services import Services
from commands.change_profile import ChangeProfile, change_profile
from domain.languages import Language
from domain.users.account import Registered
from infra.http.etags import ExpectedVersion
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel

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
