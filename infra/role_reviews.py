"""Roles that have to be confirmed, as the read models have them; and the loop that looks after them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import structlog
from psycopg.rows import dict_row

from commands.reactions.role_reviews import RolesReviewed, review_roles
from commands.write_side import WriteSide
from domain.users.role_reviews import HeldRole, ReviewRules
from domain.users.role_rules import REVIEWED_ROLES
from domain.zones import Role
from infra.claims import Pool
from infra.settings import RoleSettings
from projections.role_reviews.queries import HELD_ROLES

log = structlog.get_logger("role-reviews")


class ReadModelRoleReviews:
    """`commands.reactions.role_reviews.RoleReviews`, as the projector's role, which sees everything."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def held(self) -> Sequence[HeldRole]:
        return await self._held(REVIEWED_ROLES)

    async def all_held(self) -> Sequence[HeldRole]:
        """Those too that nobody has to confirm; of students and parents none."""
        return await self._held(None)

    async def _held(self, roles: Sequence[Role] | None) -> Sequence[HeldRole]:
        wanted = None if roles is None else list(roles)
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(HELD_ROLES, {"roles": wanted})
            return [HeldRole(**row) for row in await cursor.fetchall()]


class Services(Protocol):
    """What the loop needs of `infra.composition.ApiServices`."""

    @property
    def write(self) -> WriteSide: ...
    @property
    def role_reviews(self) -> ReadModelRoleReviews: ...
    @property
    def review_rules(self) -> ReviewRules: ...


def review_rules(settings: RoleSettings) -> ReviewRules:
    return ReviewRules(
        confirm_within=timedelta(days=settings.confirm_within_days),
        warn_before=timedelta(days=settings.warn_before_days),
    )


async def keep_reviewing(services: Services, every_s: float) -> None:
    """Warns of roles that are to be confirmed and lets lapse those that were not, whatever happens."""
    told: set[str] = set()
    while True:
        try:
            told = _told(
                await review_roles(services.write, services.role_reviews, services.review_rules), told
            )
        except Exception as error:
            # The database may be away: what is due stays due. This loop must outlive everything.
            log.exception("roles not looked at", error=type(error).__name__)
        await asyncio.sleep(every_s)


def _told(done: RolesReviewed, before: set[str]) -> set[str]:
    """Says once what stays as it is, however often it is found; returns what was said of it."""
    for each in done.lapsed:
        log.warning("role lapsed: nobody confirmed it", user_id=each.user_id, role=each.role)
    for each, error in done.failed:
        log.error("role not looked after", user_id=each.user_id, role=each.role, error=error.code)
    kept = set() if done.kept is None else {done.kept.user_id}
    for user_id in kept - before:
        log.warning("the last system administrator's role is not confirmed", user_id=user_id)
    return kept
