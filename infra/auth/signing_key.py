"""The key that signs access tokens: an Ed25519 JWK in a file of its own."""

import json
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from infra.secrets_files import read_or_create_file

Jwk = dict[str, Any]


class SigningKeyError(Exception):
    """The file does not hold a private Ed25519 JWK with a key id."""


def load_or_create_signing_key(path: Path) -> Jwk:
    """The private JWK in `path`, made on first use (mode 0600).

    Processes that start at the same time end with the same key. Raises SigningKeyError for a file with
    something else in it: a new key would turn everybody's tokens away, so nothing is overwritten.
    """
    text = read_or_create_file(path, lambda: json.dumps(new_signing_key()).encode())
    try:
        jwk = json.loads(text)
        key = OKPKey.import_key(jwk)
    except (ValueError, TypeError, KeyError, JoseError) as error:
        raise SigningKeyError(f"{path} does not hold a JWK") from error
    if not key.is_private or key.curve_name != "Ed25519" or not jwk.get("kid"):
        raise SigningKeyError(f"{path} does not hold a private Ed25519 JWK with a 'kid'")
    return dict(jwk)


def new_signing_key() -> Jwk:
    """A fresh private key; its id is its RFC 7638 thumbprint."""
    return dict(OKPKey.generate_key("Ed25519", auto_kid=True).as_dict(private=True))


def public_jwk(private_jwk: Jwk) -> Jwk:
    """What verifiers need to know of a private key."""
    public = dict(OKPKey.import_key(private_jwk).as_dict(private=False))
    return {**public, "kid": private_jwk["kid"], "alg": "EdDSA", "use": "sig"}
