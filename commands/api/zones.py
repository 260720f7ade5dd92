"""Zones: which there are, what each is waiting for, and turning them on and off.

The log itself is asked, also by the routes that read: there are few zones, and their streams are short. So
each answer has every write that was answered before it, and a consistency token is honoured as it is.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.bodies import written
from commands.api.services import Services
from commands.streams import Outcome
from commands.zones import (
    ActivateZone,
    AttestPrerequisite,
    DeactivateZone,
    KnownZone,
    activate_zone,
    attest_prerequisite,
    check_outcomes,
    deactivate_zone,
    definition_of,
    known_zone,
    known_zones,
)
from domain.languages import Language
from domain.zones import ZoneId
from domain.zones.definitions import Kind, Measure
from domain.zones.events import CheckOutcome
from domain.zones.zone import Unconfigured, Zone, attestations_of, is_active
from infra.http.consistency import SentConsistencyToken
from infra.http.errors import ZoneNotYours
from infra.http.guards import CurrentPrincipal, public, require_role, require_zone_access
from infra.http.principal import Principal
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel, SafeText

router = APIRouter(prefix="/api/v1/zones", tags=["zones"], route_class=ApiRoute)

STAFF_ROLES = ("teacher", "tutor", "org_admin", "zone_admin")
"""Who sees what their zone is waiting for."""

ZoneIdInPath = Annotated[str, Path(description="Id of the zone.", examples=["univprep"])]
Words = Annotated[str, SafeText(1, 2_000, multi_line=True)]


class ZoneShown(BaseModel):
    zone_id: ZoneId
    domain: str = Field(examples=["UnivPrepAI.com"])
    names: dict[Language, str]
    languages: list[Language]
    active: bool = Field(description="Whether people may register in it.")


class ZoneList(BaseModel):
    zones: list[ZoneShown]


class AttestationShown(BaseModel):
    attested_by: str
    attested_at: datetime
    evidence: str


class PrerequisiteShown(BaseModel):
    prerequisite: str
    titles: dict[Language, str]
    kind: Kind = Field(description="`checked` by the system, or `attested` by a person.")
    fulfilled: bool
    measure: Measure | None = Field(description="What the system counts; null where it is attested.")
    at_least: int | None
    found: int | None
    attestation: AttestationShown | None


class ZoneDetails(ZoneShown):
    features: list[str]
    since: datetime | None = Field(
        description="Since when it is active or not; null where nothing is recorded."
    )
    prerequisites: list[PrerequisiteShown] | None = Field(
        description="Of turning it on. Null for those who are not staff of the zone."
    )
    reason: str | None = Field(description="Why it was turned on or off. For staff of the zone alone.")


class Attesting(RequestModel):
    prerequisite: Annotated[str, SafeText(1, 64)] = Field(examples=["stable"])
    evidence: Words = Field(
        description="Where it can be looked up. Names documents, not people.",
        examples=["Operations report of March"],
    )


class Turning(RequestModel):
    reason: Words = Field(examples=["Everything is in place."])


class ZoneState(BaseModel):
    zone_id: ZoneId
    active: bool
    attested: list[str] = Field(description="Prerequisites that somebody stands for.")
    version: int


@router.get(
    "",
    operation_id="listZones",
    summary="All zones",
    dependencies=[Depends(public)],
    responses=problem_responses(422, 503),
)
async def list_zones(services: Services, _own_write: SentConsistencyToken) -> ZoneList:
    return ZoneList(zones=[ZoneShown(**_shown(zone)) for zone in await known_zones(services.write)])


@router.get(
    "/{zone_id}",
    operation_id="getZone",
    summary="A zone, and for its staff what it is waiting for",
    description="What the system counts is counted now.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_zone(
    zone_id: ZoneIdInPath,
    principal: CurrentPrincipal,
    services: Services,
    _own_write: SentConsistencyToken,
) -> ZoneDetails:
    zone = await known_zone(services.write, zone_id)
    staff = _is_staff(principal, zone_id)
    state = zone.state
    counted = await check_outcomes(services.write, services.zone_measures, zone.definition) if staff else ()
    return ZoneDetails(
        **_shown(zone),
        features=list(zone.definition.features),
        since=None if isinstance(state, Unconfigured) else state.since,
        prerequisites=_prerequisites(zone, counted) if staff else None,
        reason=state.reason if staff and not isinstance(state, Unconfigured) else None,
    )


@router.post(
    "/{zone_id}/attestations",
    operation_id="attestPrerequisite",
    summary="Stand for a prerequisite that the system cannot check",
    description="For administrators of the zone or of the system. A later attestation replaces an earlier "
    "one; none of them outlives the zone's being turned off.",
    status_code=201,
    dependencies=[Depends(require_role("zone_admin", "sys_admin")), Depends(require_zone_access())],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def attest(
    zone_id: ZoneIdInPath,
    body: Attesting,
    response: Response,
    services: Services,
    asked: Asked,
) -> ZoneState:
    command = AttestPrerequisite(
        zone_id=definition_of(zone_id).zone_id, prerequisite=body.prerequisite, evidence=body.evidence
    )
    return _answer(response, zone_id, await attest_prerequisite(services.write, asked, command))


@router.post(
    "/{zone_id}/activate",
    operation_id="activateZone",
    summary="Turn a zone on",
    description="409 `zone-not-ready` names each prerequisite that is missing. Changes nothing where the "
    "zone is on.",
    dependencies=[Depends(require_role("sys_admin"))],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def activate(
    zone_id: ZoneIdInPath,
    body: Turning,
    response: Response,
    services: Services,
    asked: Asked,
    principal: CurrentPrincipal,
) -> ZoneState:
    _require_sys_admin(principal)
    command = ActivateZone(zone_id=zone_id, reason=body.reason)
    turned = await activate_zone(services.write, services.zone_measures, asked, command)
    return _answer(response, zone_id, turned)


@router.post(
    "/{zone_id}/deactivate",
    operation_id="deactivateZone",
    summary="Turn a zone off",
    description="Nobody can register in it any more. Whoever is in it keeps their account and their results. "
    "Changes nothing where it is off.",
    dependencies=[Depends(require_role("sys_admin"))],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def deactivate(
    zone_id: ZoneIdInPath,
    body: Turning,
    response: Response,
    services: Services,
    asked: Asked,
    principal: CurrentPrincipal,
) -> ZoneState:
    _require_sys_admin(principal)
    command = DeactivateZone(zone_id=zone_id, reason=body.reason)
    return _answer(response, zone_id, await deactivate_zone(services.write, asked, command))


def _is_sys_admin(principal: Principal) -> bool:
    # A role in one organisation is none over zones.
    return any(grant.role == "sys_admin" and grant.org_id is None for grant in principal.roles)


def _require_sys_admin(principal: Principal) -> None:
    if not _is_sys_admin(principal):
        raise ZoneNotYours


def _is_staff(principal: Principal, zone_id: str) -> bool:
    return _is_sys_admin(principal) or (principal.zone_id == zone_id and principal.has_role(*STAFF_ROLES))


def _shown(zone: KnownZone) -> dict[str, object]:
    definition = zone.definition
    return {
        "zone_id": definition.zone_id,
        "domain": definition.domain,
        "names": definition.names,
        "languages": definition.languages,
        "active": zone.is_active,
    }


def _prerequisites(zone: KnownZone, counted: Sequence[CheckOutcome]) -> list[PrerequisiteShown]:
    outcomes = {each.prerequisite: each for each in counted}
    attestations = attestations_of(zone.state)
    shown = []
    for each in zone.definition.prerequisites:
        outcome, attested = outcomes.get(each.id), attestations.get(each.id)
        shown.append(
            PrerequisiteShown(
                prerequisite=each.id,
                titles=each.titles,
                kind=each.kind,
                fulfilled=attested is not None if outcome is None else outcome.is_met,
                measure=None if outcome is None else outcome.measure,
                at_least=None if outcome is None else outcome.at_least,
                found=None if outcome is None else outcome.found,
                attestation=None
                if attested is None
                else AttestationShown(
                    attested_by=attested.by, attested_at=attested.at, evidence=attested.evidence
                ),
            )
        )
    return shown


def _answer(response: Response, zone_id: str, outcome: Outcome[Zone]) -> ZoneState:
    if outcome.version:
        written(response, outcome.stream_id, outcome.version)
    return ZoneState(
        zone_id=zone_id,
        active=is_active(outcome.state, definition_of(zone_id)),
        attested=sorted(attestations_of(outcome.state)),
        version=outcome.version,
    )
