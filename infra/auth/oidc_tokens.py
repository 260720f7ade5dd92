"""Is this ID token the issuer's, for us, fresh, and the answer to what we asked?

OpenID Connect Core 1.0, section 3.1.3.7. Signatures by `joserfc`, claims by Authlib's `CodeIDToken`, and what
neither asks for by hand.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

LEEWAY_S: Final = 60
"""For clocks that differ."""
ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""Asymmetric ones alone: with HS256 a public key would do as the secret, and `none` is no signature."""
_KEY_TYPE: Final = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
_MOST_CHARACTERS: Final = 16_384
_SHORTEST_RSA_BITS: Final = 2048


class IdTokenRefused(Exception):
    """It proves nothing; the text says why, for our own log."""


class KeyUnknown(IdTokenRefused):
    """None of the issuer's keys that we know has signed it."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    issuer: str
    client_id: str
    nonce: str
    access_token: str
    now_s: int


def checked_claims(token: str, keys: Iterable[Mapping[str, Any]], expected: Expected) -> dict[str, Any]:
    """What the token says, once all of it is checked.

    Raises KeyUnknown, after which the keys may be fetched anew, and IdTokenRefused.
    """
    from joserfc import jws
    from joserfc.errors import JoseError

    if len(token) > _MOST_CHARACTERS or not token.isascii():
        raise IdTokenRefused("it is no token")
    try:
        signed = jws.extract_compact(token.encode("ascii"), registry=_registry())
        header = signed.headers()
        if header.get("alg") not in ALGORITHMS:
            raise IdTokenRefused(f"it is signed by {header.get('alg')!r}")
        key = _key_of(header, keys)
        if not jws.validate_compact(signed, key, registry=_registry()):
            raise IdTokenRefused("its signature is wrong")
        claims = msgspec.json.decode(signed.payload, type=dict[str, Any])
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise IdTokenRefused(f"it cannot be read: {type(error).__name__}") from error
    _require(claims, header, expected)
    return claims


def _key_of(header: Mapping[str, Any], keys: Iterable[Mapping[str, Any]]) -> Any:
    """The one key that the header means."""
    fitting = list(_fitting(header["alg"], keys))
    named = header.get("kid")
    if named is not None:
        fitting = [each for each in fitting if each.kid == named]
    if len(fitting) != 1:
        raise KeyUnknown("none of the issuer's keys is the one that it names")
    return fitting[0]


def _fitting(algorithm: str, keys: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    """The keys for this algorithm; what else an issuer publishes is none of our business."""
    from joserfc import jwk
    from joserfc.errors import JoseError

    for each in keys:
        others = each.get("use", "sig") != "sig" or each.get("alg", algorithm) != algorithm
        if each.get("kty") != _KEY_TYPE[algorithm] or others:
            continue
        try:
            key: Any = jwk.import_key(dict(each))
            too_short = algorithm == "RS256" and key.public_key.key_size < _SHORTEST_RSA_BITS
            wrong_curve = algorithm == "EdDSA" and key.curve_name != "Ed25519"
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
        if not too_short and not wrong_curve:
            yield key


def _require(claims: dict[str, Any], header: Mapping[str, Any], expected: Expected) -> None:
    from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped] # none published
    from joserfc.errors import JoseError

    for name in ("iat", "exp"):
        if type(claims.get(name)) not in {int, float}:
            raise IdTokenRefused(f"it says no {name!r}")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
        raise IdTokenRefused("it names nobody")
    checked = CodeIDToken(
        claims,
        dict(header),
        options={
            "iss": {"essential": True, "value": expected.issuer},
            "aud": {"essential": True, "value": expected.client_id},
        },
        params={
            "nonce": expected.nonce,
            "client_id": expected.client_id,
            "access_token": expected.access_token,
        },
    )
    try:
        checked.validate(now=expected.now_s, leeway=LEEWAY_S)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        # Of the claim, its name alone: what it holds may be personal.
        claim = getattr(error, "claim", None)
        raise IdTokenRefused(f"{type(error).__name__}{f' of {claim!r}' if claim else ''}") from error


def _registry() -> Any:
    from joserfc.errors import UnsupportedAlgorithmError
    from joserfc.jws import JWSRegistry

    class AllowedOnly(JWSRegistry):
        """Without the library's warning, at each call, that RFC 9864 has another name for EdDSA."""

        def get_alg(self, name: str) -> Any:
            if name not in ALGORITHMS:
                raise UnsupportedAlgorithmError(f"{name!r} is not allowed")
            return self.algorithms[name]

    return AllowedOnly(algorithms=list(ALGORITHMS))
