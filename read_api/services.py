"""What the read API's routes may ask for at run time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Final, Protocol

from fastapi import Depends, Request

from domain.identifiers import category_of
from domain.users.role_reviews import ReviewRules
from infra.http.consistency import ConsistencyToken, SentConsistencyToken
from infra.http.principal import Principal
from infra.http.services import HttpServices, injected_services
from projections.queries import Connection

ACCESS_CATEGORIES: Final = frozenset({"user", "organization", "class", "parent_link"})
"""Streams whose events change who may see what."""


class ReadStore(Protocol):
    """See `infra.read_store.ReadStore`."""

    def session(self, principal: Principal) -> AbstractAsyncContextManager[Connection]:
        """A read-only transaction in which only what this principal may see is there."""
        ...

    async def wait_for(self, projections: Sequence[str], token: ConsistencyToken, timeout_s: float) -> None:
        """Returns when the projections show what the token names. Raises `ReadModelBehind`."""
        ...


class ReadServices(HttpServices, Protocol):
    @property
    def read_store(self) -> ReadStore: ...
    @property
    def consistency_wait_s(self) -> float: ...
    @property
    def review_rules(self) -> ReviewRules: ...


async def _read_services(request: Request) -> ReadServices:
    services: ReadServices = await injected_services(request)
    return services


Services = Annotated[ReadServices, Depends(_read_services)]


class Reading:
    """Opens sessions that include the write whose consistency token the request carries."""

    def __init__(self, services: ReadServices, token: ConsistencyToken | None) -> None:
        self._services = services
        self._token = token

    @asynccontextmanager
    async def of(self, principal: Principal, *projections: str) -> AsyncIterator[Connection]:
        """A session of the principal; `projections` names those whose rows will be read."""
        store = self._services.read_store
        if self._token is not None:
            # What everybody may see goes by `access`, if it is that which was written.
            access = ("access",) if category_of(self._token.stream_id) in ACCESS_CATEGORIES else ()
            await store.wait_for([*projections, *access], self._token, self._services.consistency_wait_s)
        async with store.session(principal) as connection:
            yield connection


async def _reading(services: Services, token: SentConsistencyToken) -> Reading:
    return Reading(services, token)


Read = Annotated[Reading, Depends(_reading)]
