"""Invitations: inviting somebody by mail, taking it back, accepting it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.auth import Email
from commands.api.bodies import written
from commands.api.organizations import ADMINISTRATORS
from commands.api.services import Services
from commands.invitations import (
    InviteMember,
    RevokeInvitation,
    accept_invitation,
    invite_member,
    revoke_invitation,
)
from commands.streams import Outcome
from domain.invitations.events import MemberRole
from domain.invitations.invitation import Ended, Invitation, Pending
from domain.languages import Language
from infra.http.guards import require_role
from infra.http.paths import InvitationId, OrgId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, RequestModel, StreamId

router = APIRouter(prefix="/api/v1", tags=["invitations"], route_class=ApiRoute)


class Inviting(RequestModel):
    email: Email
    role: MemberRole = Field(examples=["teacher"])
    class_id: Annotated[str, StreamId("class")] | None = Field(
        default=None, description="The class that they join on accepting; for students, teachers and tutors."
    )
    language: Language = Field(default="ko", description="Of the mail.")


class InvitationState(BaseModel):
    invitation_id: str = Field(examples=[f"invitation-{EXAMPLE_UUID7}"])
    org_id: str
    role: MemberRole
    class_id: str | None
    expires_at: datetime
    version: int


class Acceptance(BaseModel):
    org_id: str
    role: MemberRole
    class_id: str | None


@router.post(
    "/organizations/{org_id}/invitations",
    operation_id="inviteMember",
    summary="Invite somebody into an organisation by mail",
    description="For its administrators and those of the system; administrators of the zone may invite its "
    "administrators. The answer is the same whether or not the address has an account. An invitation is good "
    "for 14 days; the same one again, while it is open, changes nothing and sends nothing. "
    "409 `too-many-invitations` where the organisation has written to the address five times in a day (UTC).",
    status_code=201,
    dependencies=[Depends(require_role(*ADMINISTRATORS))],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def invite(
    org_id: OrgId, body: Inviting, response: Response, services: Services, asked: Asked
) -> InvitationState:
    command = InviteMember(
        org_id=org_id, email=body.email, role=body.role, language=body.language, class_id=body.class_id
    )
    outcome = await invite_member(services.write, asked, command)
    # Of a request whose answer was lost, the invitation may be over when it comes again.
    assert isinstance(outcome.state, Pending | Ended)
    invited = outcome.state.invited
    written(response, outcome.stream_id, outcome.version)
    return InvitationState(
        invitation_id=outcome.stream_id,
        org_id=invited.org_id,
        role=invited.role,
        class_id=invited.class_id,
        expires_at=invited.expires_at,
        version=outcome.version,
    )


@router.delete(
    "/organizations/{org_id}/invitations/{invitation_id}",
    operation_id="revokeInvitation",
    summary="Take an invitation back",
    description="409 `invitation-over` where it was accepted. Changes nothing where it is over otherwise.",
    status_code=204,
    dependencies=[Depends(require_role(*ADMINISTRATORS))],
    responses=problem_responses(400, 401, 403, 404, 409, 422, 503),
)
async def revoke(org_id: OrgId, invitation_id: InvitationId, services: Services, asked: Asked) -> Response:
    command = RevokeInvitation(org_id=org_id, invitation_id=invitation_id)
    outcome = await revoke_invitation(services.write, asked, command)
    answer = Response(status_code=204)
    written(answer, outcome.stream_id, outcome.version)
    return answer


@router.post(
    "/invitations/{invitation_id}/acceptance",
    operation_id="acceptInvitation",
    summary="Accept an invitation",
    description="By somebody whose verified address is the one that the mail was sent to; it is nobody "
    "else's. 404 also where whoever sent it may not invite to it any more. Refresh the token afterwards: the "
    "new one has the role.",
    responses=problem_responses(400, 401, 403, 404, 409, 422, 503),
)
async def accept(
    invitation_id: InvitationId, response: Response, services: Services, asked: Asked
) -> Acceptance:
    outcome = await accept_invitation(services.write, asked, invitation_id)
    written(response, outcome.stream_id, outcome.version)
    return _accepted(outcome)


def _accepted(outcome: Outcome[Invitation]) -> Acceptance:
    assert isinstance(outcome.state, Ended)
    invited = outcome.state.invited
    return Acceptance(org_id=invited.org_id, role=invited.role, class_id=invited.class_id)
