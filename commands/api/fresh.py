"""What only somebody who has just signed in may do: change how the account is opened.

Whoever finds a browser that somebody left signed in must not be able to keep the account.
"""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import Depends

from commands.api.services import Services
from domain.errors import Denied
from infra.http.guards import CurrentPrincipal
from infra.http.principal import Principal

FRESH_FOR: Final = timedelta(minutes=10)


class FreshSignInRequired(Denied):
    """The sign-in is older than ten minutes; carries `at_most_s`."""

    code = "fresh-sign-in-required"
    title = "Sign in again for this"


async def fresh(principal: CurrentPrincipal, services: Services) -> Principal:
    """Raises FreshSignInRequired. New tokens for an old sign-in do not make it younger."""
    now = services.clock()
    sessions = await services.refresh_tokens.sessions(principal.subject_id, now)
    started = [each.started_at for each in sessions if each.session_id == principal.session_id]
    if not started or now - started[0] > FRESH_FOR:
        raise FreshSignInRequired(at_most_s=int(FRESH_FOR.total_seconds()))
    return principal


FreshPrincipal = Annotated[Principal, Depends(fresh)]
