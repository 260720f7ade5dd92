"""The tenant zones and the roles people hold in them. Which zones there are is data: `zones.json`."""

from typing import TYPE_CHECKING, Literal, TypeAlias

from domain.zones.definitions import DEFINITIONS

if TYPE_CHECKING:
    ZoneId: TypeAlias = str
else:
    # Taken from the data, so that one more zone needs no code: what decodes, validates and documents zone ids
    # sees a Literal of those that there are. A type checker cannot know them.
    ZoneId = Literal[tuple(DEFINITIONS)]

ZONES: tuple[ZoneId, ...] = tuple(DEFINITIONS)

Role = Literal["student", "parent", "teacher", "tutor", "org_admin", "zone_admin", "sys_admin", "service"]
"""The seven roles of people, and `service` for an organisation's own programs."""
