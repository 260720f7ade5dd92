"""The tables of access."""

from projections.rows import Table

ZONE_WIDE = "zone"
"""The place of a role that is held in no organisation."""

ACCOUNTS = Table(
    "accounts",
    key=("user_id",),
    columns={"user_id": "text", "zone_id": "text", "org_id": "text", "active": "boolean"},
)
MEMBERSHIPS = Table(
    "memberships",
    key=("user_id", "role", "place"),
    columns={
        "user_id": "text",
        "role": "text",
        "place": "text",
        "org_id": "text",
        "zone_id": "text",
        "since": "timestamptz",
    },
)
ORGANIZATIONS = Table(
    "organizations",
    key=("org_id",),
    columns={
        "org_id": "text",
        "zone_id": "text",
        "name": "text",
        "founded_at": "timestamptz",
        "version": "bigint",
    },
)
CLASSES = Table(
    "classes",
    key=("class_id",),
    columns={
        "class_id": "text",
        "org_id": "text",
        "zone_id": "text",
        "name": "text",
        "external_id": "text",
        "opened_at": "timestamptz",
        "closed_at": "timestamptz",
        "version": "bigint",
    },
)
CLASS_MEMBERS = Table(
    "class_members",
    key=("class_id", "user_id", "part"),
    columns={
        "class_id": "text",
        "user_id": "text",
        "part": "text",
        "org_id": "text",
        "zone_id": "text",
        "since": "timestamptz",
    },
)
PARENT_LINKS = Table(
    "parent_links",
    key=("link_id",),
    columns={
        "link_id": "text",
        "parent_id": "text",
        "student_id": "text",
        "zone_id": "text",
        "status": "text",
        "since": "timestamptz",
    },
)
