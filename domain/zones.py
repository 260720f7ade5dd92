"""The nine tenant zones and the roles people hold in them."""

from typing import Literal, get_args

ZoneId = Literal[
    "univprep",
    "skillprep",
    "collegeprep",
    "mediprep",
    "majorprep",
    "mpcstudy",
    "mediaprep",
    "kzone",
    "kzone_ai",
]
ZONES: tuple[ZoneId, ...] = get_args(ZoneId)

Role = Literal["student", "parent", "teacher", "tutor", "org_admin", "zone_admin", "sys_admin", "service"]
"""The seven roles of people, and `service` for an organisation's own programs."""
