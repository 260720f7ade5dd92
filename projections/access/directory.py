"""Questions about organisations, their members and classes. Row-level security says who is answered what."""

from typing import Any

from projections.queries import Connection, many, one


async def organization(connection: Connection, org_id: str) -> dict[str, Any] | None:
    """The organisation; `members` and `classes` are counted for those alone who administer it."""
    return await one(
        connection,
        """SELECT o.org_id, o.zone_id, o.name, o.founded_at, o.version, a.administers,
                  CASE WHEN a.administers THEN
                      (SELECT count(DISTINCT m.user_id) FROM read.memberships m WHERE m.org_id = o.org_id)
                  END AS members,
                  CASE WHEN a.administers THEN
                      (SELECT count(*) FROM read.classes c WHERE c.org_id = o.org_id AND c.closed_at IS NULL)
                  END AS classes
           FROM read.organizations o,
                LATERAL (
                    SELECT o.zone_id = read.asker_zone()
                           AND (o.org_id = ANY (read.asker_administered_orgs())
                                OR read.asker_administers_zone()) AS administers
                ) a
           WHERE o.org_id = %s""",
        [org_id],
    )


async def members(
    connection: Connection, org_id: str, *, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """Who holds a role there, in the order of their ids, each of them once."""
    return await many(
        connection,
        """SELECT m.user_id, p.display_name, array_agg(m.role ORDER BY m.role) AS roles, min(m.since) AS since
           FROM read.memberships m LEFT JOIN read.people p ON p.user_id = m.user_id
           WHERE m.org_id = %(org)s
             AND (%(after)s::text IS NULL OR m.user_id > %(after)s::text COLLATE "C")
           GROUP BY m.user_id, p.display_name ORDER BY m.user_id LIMIT %(limit)s""",
        {"org": org_id, "after": after, "limit": limit},
    )


_CLASS = """
SELECT c.class_id, c.org_id, c.zone_id, c.name, c.external_id AS external_id, c.opened_at, c.closed_at,
       c.version,
       CASE WHEN v.sees_people THEN
           (SELECT count(*) FROM read.class_members m WHERE m.class_id = c.class_id AND m.part = 'teacher')
       END AS teachers,
       CASE WHEN v.sees_people THEN
           (SELECT count(*) FROM read.class_members m WHERE m.class_id = c.class_id AND m.part = 'student')
       END AS students
FROM read.classes c, LATERAL (
    SELECT c.zone_id = read.asker_zone()
           AND (c.org_id = ANY (read.asker_administered_orgs()) OR read.asker_administers_zone()
                OR c.class_id IN (SELECT read.asker_taught_classes())) AS sees_people
) v
WHERE c.org_id = %(org)s
"""


async def school_class(connection: Connection, org_id: str, class_id: str) -> dict[str, Any] | None:
    """One class; its people are counted for those who administer or teach it."""
    return await one(connection, _CLASS + " AND c.class_id = %(class)s", {"org": org_id, "class": class_id})


async def classes(
    connection: Connection, org_id: str, *, with_closed: bool, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """Those that the asker may see, in the order of their ids, which is the order they were opened in."""
    return await many(
        connection,
        _CLASS
        + """ AND (%(with_closed)s OR c.closed_at IS NULL)
              AND (%(after)s::text IS NULL OR c.class_id > %(after)s::text COLLATE "C")
              ORDER BY c.class_id LIMIT %(limit)s""",
        {"org": org_id, "with_closed": with_closed, "after": after, "limit": limit},
    )


async def people_in(
    connection: Connection, class_id: str, *, after: tuple[str, str] | None, limit: int
) -> list[dict[str, Any]]:
    """Teachers and students of a class, in the order of their ids."""
    user_id, part = after or (None, None)
    return await many(
        connection,
        """SELECT m.user_id, m.part, m.since, p.display_name
           FROM read.class_members m LEFT JOIN read.people p ON p.user_id = m.user_id
           WHERE m.class_id = %(class)s
             AND (%(user)s::text IS NULL
                  OR (m.user_id, m.part) > (%(user)s::text COLLATE "C", %(part)s::text COLLATE "C"))
           ORDER BY m.user_id, m.part LIMIT %(limit)s""",
        {"class": class_id, "user": user_id, "part": part, "limit": limit},
    )
