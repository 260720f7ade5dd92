"""From refusals to HTTP: the one place where a group of errors gets its status.

A new error needs no line here: it belongs to a group.
"""

import math

from domain.errors import (
    Denied,
    DomainError,
    IllegalState,
    Malformed,
    NotFound,
    StaleVersion,
    Unavailable,
    Unreadable,
)
from infra.http.errors import InvalidToken, RateLimited, Unauthenticated

GROUP_STATUS: tuple[tuple[type[DomainError], int], ...] = (
    (Unauthenticated, 401),
    (Denied, 403),
    (NotFound, 404),
    (IllegalState, 409),
    (StaleVersion, 412),
    (Malformed, 422),
    (RateLimited, 429),
    (Unavailable, 503),
    (Unreadable, 500),
)


def status_of(error: DomainError | type[DomainError]) -> int:
    """HTTP status of an error or error class; 500 for one that belongs to no group (a mistake of ours)."""
    error_class = error if isinstance(error, type) else type(error)
    for group, status in GROUP_STATUS:
        if issubclass(error_class, group):
            return status
    return 500


def headers_of(error: DomainError) -> dict[str, str]:
    """Headers that the status asks for: `WWW-Authenticate` (RFC 6750) and `Retry-After`."""
    headers: dict[str, str] = {}
    if isinstance(error, InvalidToken):
        headers["WWW-Authenticate"] = 'Bearer realm="megacity", error="invalid_token"'
    elif isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="megacity"'
    retry_after_s = error.data().get("retry_after_s")
    if isinstance(retry_after_s, int | float) and math.isfinite(retry_after_s):
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    elif isinstance(error, Unavailable):
        headers["Retry-After"] = "1"
    return headers
