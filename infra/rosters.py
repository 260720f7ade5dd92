"""Who belongs to an organisation, as rosters need it from the read models."""

from collections.abc import Mapping, Sequence

from domain.identifiers import StreamId
from infra.memberships import ReadModelMemberships


class ReadModelRosterLists(ReadModelMemberships):
    """`commands.roster.importing.RosterLists`. It may lag."""

    async def members_of(self, org_id: StreamId) -> Sequence[StreamId]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT DISTINCT user_id FROM read.memberships WHERE place = %s ORDER BY user_id", (org_id,)
            )
            return [str(user_id) for (user_id,) in await found.fetchall()]

    async def in_classes(self, org_id: StreamId) -> Mapping[StreamId, frozenset[StreamId]]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                """SELECT user_id, array_agg(class_id)
                   FROM read.class_members JOIN read.classes USING (class_id)
                   WHERE class_members.org_id = %s AND closed_at IS NULL GROUP BY user_id""",
                (org_id,),
            )
            return {str(user_id): frozenset(classes) for user_id, classes in await found.fetchall()}
