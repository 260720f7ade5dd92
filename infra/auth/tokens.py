"""Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037), by `joserfc`.

Claims: `iss aud sub iat exp jti sid zone roles`, all required; attempt-scoped tokens add `attempt`, and
`act` (RFC 8693) where they were given to a service that acts for the examinee. `ver` is the version of the
account that the roles are from.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import KeySet, OKPKey
from joserfc.jws import JWSRegistry

from infra.auth.signing_key import Jwk
from infra.http.errors import InvalidToken
from infra.http.principal import Principal, RoleGrant

ALGORITHM: Final = "EdDSA"
LONGEST_LIFETIME_S: Final = 86_400
"""No token lives longer: keys and ended sessions are remembered for so long and no longer."""
_MAX_TOKEN_LENGTH: Final = 8_192

Clock = Callable[[], datetime]


class TokenKeys(Protocol):
    """Keys that change now and then: see `infra.auth.key_ring.KeyRing`."""

    def signing_key(self) -> Jwk: ...

    def verifying_keys(self, *, again: bool = False) -> tuple[Jwk, ...]:
        """The same object as long as the keys are the same; `again`: a key is missing, look at once."""
        ...


class TokenIssuer:
    """Signs tokens with one private key, or with the one of a ring whose turn it is."""

    def __init__(  # noqa: PLR0913 - all of it is what a token says
        self,
        keys: Jwk | TokenKeys,
        issuer: str,
        audience: str,
        ttl_s: int,
        clock: Clock,
        *,
        new_id: Callable[[], str],
    ) -> None:
        self._next_key: Callable[[], Jwk] = (lambda: keys) if isinstance(keys, dict) else keys.signing_key
        self._jwk = self._next_key()
        self._key = OKPKey.import_key(self._jwk)
        self._issuer = issuer
        self._audience = audience
        self._ttl_s = ttl_s
        self._clock = clock
        self._new_id = new_id

    def issue(self, principal: Principal, *, ttl_s: int | None = None) -> tuple[str, int]:
        """The token, and in how many seconds it expires. `ttl_s` overrides the usual time.

        Raises ValueError for more than `LONGEST_LIFETIME_S`.
        """
        expires_in_s = self._ttl_s if ttl_s is None else ttl_s
        if expires_in_s > LONGEST_LIFETIME_S:
            raise ValueError(f"a token lives {LONGEST_LIFETIME_S} s at most")
        now_s = int(self._clock().timestamp())
        claims = _Claims(
            iss=self._issuer,
            aud=self._audience,
            sub=principal.subject_id,
            iat=now_s,
            exp=now_s + expires_in_s,
            jti=self._new_id(),
            sid=principal.session_id,
            zone=principal.zone_id,
            roles=tuple(_RoleClaim(grant.role, grant.org_id) for grant in principal.roles),
            attempt=principal.attempt_id,
            act=None if principal.delegate is None else _Delegate(principal.delegate),
            ver=principal.account_version,
        )
        jwk = self._next_key()
        if jwk is not self._jwk:
            self._jwk, self._key = jwk, OKPKey.import_key(jwk)
        header = {"alg": ALGORITHM, "kid": jwk["kid"]}
        return jwt.encode(header, msgspec.to_builtins(claims), self._key, registry=_REGISTRY), expires_in_s


class TokenVerifier:
    """Checks tokens against public keys, and remembers those that passed.

    A signature takes some 200 µs to check; an examinee sends the same token with each answer. `ended` says
    of a token's holder whether it is refused although it has not expired.
    """

    def __init__(  # noqa: PLR0913 - all of it is what a token must say
        self,
        keys: Iterable[Jwk] | TokenKeys,
        issuer: str,
        audience: str,
        clock: Clock,
        *,
        leeway_s: int = 5,
        remembered: int = 10_000,
        ended: Callable[[Principal], bool] = lambda _: False,
    ) -> None:
        self._source: TokenKeys = _FixedKeys(tuple(keys)) if isinstance(keys, Iterable) else keys
        self._ended = ended
        self._jwks: tuple[Jwk, ...] = ()
        self._keys = KeySet([])
        self._key_ids: frozenset[str | None] = frozenset()
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._leeway_s = leeway_s
        self._verified = _Remembered(remembered)

    def verify(self, token: str) -> Principal:
        """Whom the token names. Raises InvalidToken with its `reason`."""
        now_s = self._clock().timestamp()
        self._use(self._source.verifying_keys())
        known = self._verified.get(token)
        if known is None:
            claims = self._checked_claims(token)
            known = (_principal(claims), claims.iat, claims.exp)
            self._verified.put(token, known)
        principal, issued_at_s, expires_at_s = known
        # Times are checked each time: a remembered token grows old like any other.
        if now_s >= expires_at_s + self._leeway_s:
            raise InvalidToken(reason="it has expired")
        if now_s < issued_at_s - self._leeway_s:
            raise InvalidToken(reason="it is not valid yet")
        if self._ended(principal):
            raise InvalidToken(reason="its sign-in was ended, or its roles have changed")
        return principal

    def _use(self, jwks: tuple[Jwk, ...]) -> None:
        if jwks is self._jwks:
            return
        # What was verified with a key that is gone must not be believed any longer.
        self._verified.clear()
        self._jwks = jwks
        self._keys = KeySet([OKPKey.import_key(each) for each in jwks])
        self._key_ids = frozenset(key.kid for key in self._keys.keys)

    def _checked_claims(self, token: str) -> "_Claims":
        if len(token) > _MAX_TOKEN_LENGTH or not token.isascii():
            raise InvalidToken(reason="it is not one of ours")
        try:
            signed = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY)
            if signed.headers().get("kid") not in self._key_ids:
                self._use(self._source.verifying_keys(again=True))
            if signed.headers().get("kid") not in self._key_ids:
                raise InvalidToken(reason="its key is not known")
            if not jws.validate_compact(signed, self._keys, registry=_REGISTRY):
                raise InvalidToken(reason="its signature is wrong")
            claims = msgspec.json.decode(signed.payload, type=_Claims)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise InvalidToken(reason="it is not one of ours") from error
        if claims.iss != self._issuer or claims.aud != self._audience:
            raise InvalidToken(reason="it was made for somebody else")
        return claims


class _FixedKeys:
    """The same keys for ever."""

    def __init__(self, jwks: tuple[Jwk, ...]) -> None:
        self._jwks = jwks

    def signing_key(self) -> Jwk:
        return self._jwks[0]

    def verifying_keys(self, *, again: bool = False) -> tuple[Jwk, ...]:
        del again
        return self._jwks


class _RoleClaim(msgspec.Struct, frozen=True, omit_defaults=True):
    role: str
    org: str | None = None


class _Delegate(msgspec.Struct, frozen=True):
    """Who acts for the subject: the `act` claim of RFC 8693."""

    sub: str


class _Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    iss: str
    aud: str
    sub: str
    iat: int
    exp: int
    jti: str
    sid: str
    zone: str
    roles: tuple[_RoleClaim, ...]
    attempt: str | None = None
    act: _Delegate | None = None
    ver: int | None = None


class _EdDsaOnly(JWSRegistry):
    """Knows one algorithm.

    `joserfc` warns on each call that RFC 9864 calls EdDSA `Ed25519` now; the name is fixed by our token
    format, and only Ed25519 keys are ever loaded.
    """

    def get_alg(self, name: str) -> Any:
        if name != ALGORITHM:
            raise UnsupportedAlgorithmError(f"{name!r} is not allowed")
        return self.algorithms[ALGORITHM]


_REGISTRY: Final = _EdDsaOnly(algorithms=[ALGORITHM])

_Verified = tuple[Principal, int, int]


class _Remembered:
    """The tokens verified last, at most `size`; safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, _Verified] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, token: str) -> _Verified | None:
        with self._lock:
            found = self._entries.get(token)
            if found is not None:
                self._entries.move_to_end(token)
            return found

    def put(self, token: str, verified: _Verified) -> None:
        with self._lock:
            self._entries[token] = verified
            self._entries.move_to_end(token)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()


def _principal(claims: _Claims) -> Principal:
    return Principal(
        subject_id=claims.sub,
        zone_id=claims.zone,
        roles=tuple(RoleGrant(each.role, each.org) for each in claims.roles),
        session_id=claims.sid,
        attempt_id=claims.attempt,
        delegate=None if claims.act is None else claims.act.sub,
        account_version=claims.ver,
    )
