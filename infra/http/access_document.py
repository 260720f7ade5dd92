"""Who may call an operation, said in the OpenAPI document: read off the route's own guards.

`x-access` is `public`, `signed-in`, `attempt` (signed in, or with the token of the attempt in the path) or
`signature` (another system, which signs what it sends).
`x-roles` lists the roles of which one is needed, `x-zone: own` says that the zone named in the request has to
be the asker's own. The same stands in the description, as a sentence.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from infra.http.guards import AttemptAccess, Guard, RequireRole, RequireZone, public
from infra.http.webhooks import WebhookSignature


def document_access(app: FastAPI, document: dict[str, Any]) -> None:
    """Adds the extensions to each operation, in place. Raises ValueError: see `access_of`."""
    paths = document.get("paths", {})
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        if not isinstance(dependant, Dependant):
            continue
        for method in route.methods or ():
            operation = paths.get(route.path_format, {}).get(method.lower())
            # FastAPI keeps the document that it has made: asked for again, it has all of this.
            if operation is not None and "x-access" not in operation:
                told = access_of(dependant)
                operation |= told
                words = [operation.get("description", ""), _sentence(told)]
                operation["description"] = "\n\n".join(filter(None, words))


def access_of(dependant: Dependant) -> dict[str, Any]:
    """What the guards in a route's dependencies ask for; nothing where there is no guard.

    Raises ValueError where two of them name different roles: a client could not tell who may call.
    """
    calls = list(_calls(dependant))
    told: dict[str, Any] = {}
    if any(call is public for call in calls):
        told["x-access"] = "public"
    if any(isinstance(call, WebhookSignature) for call in calls):
        told["x-access"] = "signature"
    if any(isinstance(call, AttemptAccess) for call in calls):
        told["x-access"] = "attempt"
    if any(isinstance(call, Guard) and not isinstance(call, AttemptAccess) for call in calls):
        # What asks for more wins: a token of an attempt does not get past it.
        told["x-access"] = "signed-in"
    roles = {call.roles for call in calls if isinstance(call, RequireRole)}
    if len(roles) > 1:
        raise ValueError(f"one guard says which roles may call a route, and not {sorted(roles)}")
    if roles:
        told["x-roles"] = list(roles.pop())
    if any(isinstance(call, RequireZone) for call in calls):
        told["x-zone"] = "own"
    return told


def _calls(dependant: Dependant) -> Iterator[Any]:
    for each in dependant.dependencies:
        if each.call is not None:
            yield each.call
        yield from _calls(each)


_WHO = {
    "public": "anybody",
    "signed-in": "whoever is signed in",
    "attempt": "whoever is signed in, and the token of this attempt",
    "signature": "whoever signs with a secret of the webhook",
}


def _sentence(told: dict[str, Any]) -> str:
    if not told:
        return ""
    roles = told.get("x-roles")
    who = _WHO[told["x-access"]] if roles is None else ", ".join(f"`{each}`" for each in roles)
    zone = "; in their own zone, but for `sys_admin`" if told.get("x-zone") == "own" else ""
    return f"May be called by: {who}{zone}."
