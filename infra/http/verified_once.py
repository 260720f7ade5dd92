"""A token is verified once for a request, however many walls ask who sends it."""

from typing import Any, Final

from infra.http.errors import InvalidToken
from infra.http.principal import Principal
from infra.http.services import HttpServices

_KEPT: Final = "verified_token"


def verified_once(scope: Any, services: HttpServices, token: str) -> Principal:
    """Whom the token names; the ASGI scope keeps the answer, a refusal too. Raises InvalidToken."""
    state = scope.setdefault("state", {})
    kept: tuple[str, Principal | InvalidToken] | None = state.get(_KEPT)
    if kept is None or kept[0] != token:
        kept = (token, _verified(services, token))
        state[_KEPT] = kept
    if isinstance(kept[1], InvalidToken):
        # Anew: an exception that is raised twice would carry the trace of both.
        raise type(kept[1])(**kept[1].data())
    return kept[1]


def _verified(services: HttpServices, token: str) -> Principal | InvalidToken:
    try:
        return services.token_verifier.verify(token)
    except InvalidToken as error:
        return error
