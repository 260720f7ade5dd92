"""Refusals that belong to the wire itself: who asks, with what, and how often.

They stand in the tree of `domain.errors`, so that `infra.http.error_map` turns them into answers
like any other refusal.
"""

from domain.errors import Denied, DomainError, IllegalState, Malformed, Unavailable


class Unauthenticated(DomainError):
    """The request names nobody: it carries no access token."""

    code = "unauthenticated"
    title = "Sign in first"

    def detail(self) -> str:
        return "Send an access token: 'Authorization: Bearer <token>'."


class InvalidToken(Unauthenticated):
    """The access token is forged, expired, made for somebody else or not a token at all (`reason`)."""

    code = "invalid-token"
    title = "The access token is not valid"

    def detail(self) -> str:
        return f"The access token was refused: {self.reason}."


class SignInRefused(Unauthenticated):
    """No such account, or the wrong secret; which of them is not told."""

    code = "sign-in-refused"
    title = "These credentials do not open an account"

    def detail(self) -> str:
        return "The account or the secret is not right."


class RefreshRefused(Unauthenticated):
    """The refresh token is unknown, expired, revoked or was used before (`reason`)."""

    code = "refresh-refused"
    title = "The refresh token is not valid"

    def detail(self) -> str:
        return f"Sign in again: the refresh token is {self.reason}."


class AttemptTokenOnly(Denied):
    """An attempt-scoped token was used for something other than its own attempt."""

    code = "attempt-token-only"
    title = "This token opens one attempt and nothing else"


class RoleRequired(Denied):
    """The asker holds none of the roles that this route asks for (`roles`)."""

    code = "role-required"
    title = "A role is missing"

    def detail(self) -> str:
        return f"One of these roles is needed: {', '.join(self.roles)}."


class ZoneNotYours(Denied):
    """The asker's role does not reach into the zone that the request names."""

    code = "zone-not-yours"
    title = "This is for administrators of the zone or of the whole system"


class PolicyForbids(Denied):
    """The rules in force say no. Carries `action`, `reason` and `decided_by`: id, rule and titles of each."""

    code = "policy-forbids"
    title = "The rules in force do not allow this"

    def detail(self) -> str:
        named = ", ".join(each["title"]["en"] for each in self.decided_by)
        return f"{named}." if named else "No rule permits it."


class WeakPassword(Malformed):
    """The password is too short, too long, too common or has unusable characters (`reason`)."""

    code = "weak-password"
    title = "The password cannot be accepted"

    def detail(self) -> str:
        return f"The password {self.reason}."


class SignInBusy(Unavailable):
    """Too many passwords are being checked at once; carries `retry_after_s`."""

    code = "sign-in-busy"
    title = "Too many sign-ins at the moment"


class BadCursor(Malformed):
    """The cursor was not given out by this list."""

    code = "bad-cursor"
    title = "The cursor is not one of this list's"


class BadConsistencyToken(Malformed):
    """The `Consistency-Token` header does not hold a token that a write answered with."""

    code = "bad-consistency-token"
    title = "The consistency token is not valid"


class BadEntityTag(Malformed):
    """The `If-Match` header holds neither `*` nor one strong entity tag of ours."""

    code = "bad-entity-tag"
    title = "The If-Match header is not valid"

    def detail(self) -> str:
        return "Send back the ETag of the last answer, or '*'."


class IdempotencyKeyReused(Malformed):
    """The `Idempotency-Key` was used before, for a request with other contents."""

    code = "idempotency-key-reused"
    title = "This idempotency key belongs to another request"

    def detail(self) -> str:
        return "A key names one request: send the same contents again, or a new key."


class RequestInFlight(IllegalState):
    """The first request with this `Idempotency-Key` has not been answered yet; carries `retry_after_s`."""

    code = "request-in-flight"
    title = "The same request is still being answered"


class RateLimited(DomainError):
    """More requests came than `violated_policies` allow; carries `retry_after_s`."""

    code = "rate-limited"
    title = "Too many requests"

    def detail(self) -> str:
        return "Wait as long as 'Retry-After' says, then send the request again."


class DatabaseUnreachable(Unavailable):
    """The database does not answer, or not in time; carries `retry_after_s`. What was asked may be done."""

    code = "database-unreachable"
    title = "The database cannot be reached at the moment; send the request again"
