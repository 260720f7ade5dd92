"""The keys that sign access tokens: Ed25519 JWKs."""

from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

Jwk = dict[str, Any]


class SigningKeyError(Exception):
    """The file does not hold Ed25519 JWKs with key ids, or none that can sign."""


def new_signing_key() -> Jwk:
    """A fresh private key; its id is its RFC 7638 thumbprint."""
    return dict(OKPKey.generate_key("Ed25519", auto_kid=True).as_dict(private=True))


def public_jwk(private_jwk: Jwk) -> Jwk:
    """What verifiers need to know of a key; given a public key, the same."""
    public = dict(OKPKey.import_key(private_jwk).as_dict(private=False))
    return {**public, "kid": private_jwk["kid"], "alg": "EdDSA", "use": "sig"}


def is_private(jwk: Any) -> bool:
    """Whether an Ed25519 JWK can sign. Raises SigningKeyError for everything else than an Ed25519 JWK."""
    try:
        key = OKPKey.import_key(jwk)
    except (ValueError, TypeError, KeyError, AttributeError, JoseError) as error:
        raise SigningKeyError("it is no JWK of an Ed25519 key") from error
    if key.curve_name != "Ed25519" or not isinstance(jwk.get("kid"), str) or not jwk["kid"]:
        raise SigningKeyError("it is no JWK of an Ed25519 key with a 'kid'")
    return bool(key.is_private)
