"""What a zone is before anything has happened in it: one entry of `zones.json`.

The file is part of the source and is read like it, once, when this module is imported.
"""

import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from domain.identifiers import UUID7_PATTERN, StreamId, stream_id
from domain.languages import Language, LocalizedText

Measure = Literal["published_items", "published_exams", "adaptive_exams", "tested_people", "days_active"]
"""What the system can count of a zone.

- published_items: different items in the zone's published exams;
- published_exams, adaptive_exams: exams that were published in it; those of them that are adaptive;
- tested_people: people who have handed in an attempt;
- days_active: whole days since it was turned on, 0 where it is off.
"""

Kind = Literal["checked", "attested"]


class Check(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Fulfilled while the measure is `at_least` so much; of the zone itself, or of another one."""

    measure: Measure
    at_least: Annotated[int, Meta(ge=1)]
    of_zone: str | None = None


class Prerequisite(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What has to be so before a zone is turned on. Without a check a person has to attest it."""

    id: Annotated[str, Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    titles: LocalizedText
    check: Check | None = None

    @property
    def kind(self) -> Kind:
        return "attested" if self.check is None else "checked"


class ZoneDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A zone as the data has it.

    Attributes:
        zone_id: its short name, for good.
        uuid: names its stream.
        domain: the web domain that it is to have.
        names: in Korean and English at least.
        languages: of its content.
        features: what it offers beyond exams, for frontends.
        prerequisites: of turning it on.
        open_from_start: it is active without being turned on; its prerequisites hold for turning it on again.
    """

    zone_id: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{1,31}$")]
    uuid: Annotated[str, Meta(pattern=f"^{UUID7_PATTERN}$")]
    domain: str
    names: LocalizedText
    languages: Annotated[tuple[Language, ...], Meta(min_length=1)]
    features: tuple[str, ...]
    prerequisites: tuple[Prerequisite, ...]
    open_from_start: bool = False

    @property
    def stream_id(self) -> StreamId:
        return stream_id("zone", self.uuid)

    def prerequisite(self, prerequisite_id: str) -> Prerequisite | None:
        return next((each for each in self.prerequisites if each.id == prerequisite_id), None)


class UnusableZones(ValueError):
    """The file of zones contradicts itself."""


def decoded(text: bytes) -> Mapping[str, ZoneDefinition]:
    """The zones by their ids, in the order of the file. Raises `UnusableZones`."""
    try:
        zones = msgspec.json.decode(text, type=tuple[ZoneDefinition, ...])
    except msgspec.DecodeError as error:
        raise UnusableZones(str(error)) from error
    # An event of a later release may say more of a zone than this one reads; the file may not.
    if msgspec.json.decode(msgspec.json.encode(zones)) != msgspec.json.decode(text):
        raise UnusableZones("a zone says something that no zone can say, or spells out a default")
    found = {each.zone_id: each for each in zones}
    if len(found) < len(zones) or len({each.uuid for each in zones}) < len(zones):
        raise UnusableZones("two zones have the same id or the same uuid")
    for zone in zones:
        if not zone.names.keys() >= {"ko", "en"}:
            raise UnusableZones(f"{zone.zone_id} needs a name in Korean and one in English")
        if len({each.id for each in zone.prerequisites}) < len(zone.prerequisites):
            raise UnusableZones(f"two prerequisites of {zone.zone_id} have the same id")
        for each in zone.prerequisites:
            if each.check is not None and (each.check.of_zone or zone.zone_id) not in found:
                raise UnusableZones(f"{zone.zone_id}: {each.id} asks about a zone that does not exist")
    return MappingProxyType(found)


def _shipped() -> bytes:
    text = pkgutil.get_data(__package__, "zones.json")
    assert text is not None
    return text


DEFINITIONS: Final[Mapping[str, ZoneDefinition]] = decoded(_shipped())
"""Every zone there is, by its id."""
