"""ID tokens: which key is the one that signed, and which keys are none of ours to use."""

import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from infra.auth.oidc_tokens import Expected, IdTokenRefused, KeyUnknown, checked_claims
from tests.support.oidc_issuer import KEY_KINDS, half_hash, signed

NOW_S = int(time.time())
EXPECTED = Expected(
    issuer="https://id.example.org",
    client_id="megacity",
    nonce="the nonce",
    access_token="the access token",
    now_s=NOW_S,
)
CLAIMS = {
    "iss": "https://id.example.org",
    "aud": "megacity",
    "sub": "somebody",
    "iat": NOW_S,
    "exp": NOW_S + 300,
    "nonce": "the nonce",
}


def published(*keys, **more):
    return [{**key.as_dict(private=False), **more} for key in keys]


@pytest.mark.parametrize("algorithm", KEY_KINDS)
def test_a_token_of_each_allowed_algorithm_says_who_it_is(algorithm):
    key = KEY_KINDS[algorithm]()
    claims = {**CLAIMS, "at_hash": half_hash("the access token", algorithm)}
    token = signed(claims, algorithm, key, key.kid)
    assert checked_claims(token, published(key), EXPECTED) == claims


def test_among_keys_of_all_kinds_the_named_one_is_found():
    keys = [make() for make in KEY_KINDS.values()]
    others = [{"kty": "unheard-of", "kid": "x"}, {"kty": "RSA"}, {}, {"kty": "EC", "crv": "P-256", "x": "!"}]
    for algorithm, key in zip(KEY_KINDS, keys, strict=True):
        token = signed(CLAIMS, algorithm, key, key.kid)
        assert checked_claims(token, [*others, *published(*keys)], EXPECTED)["sub"] == "somebody"


def test_a_token_that_names_no_key_is_believed_where_there_is_one_to_choose_from():
    one, other = KEY_KINDS["ES256"](), KEY_KINDS["ES256"]()
    token = signed(CLAIMS, "ES256", one, None)
    assert checked_claims(token, published(one), EXPECTED)["sub"] == "somebody"
    with pytest.raises(KeyUnknown):
        checked_claims(token, published(one, other), EXPECTED)


def test_a_key_that_is_not_published_is_unknown():
    one, other = KEY_KINDS["EdDSA"](), KEY_KINDS["EdDSA"]()
    with pytest.raises(KeyUnknown):
        checked_claims(signed(CLAIMS, "EdDSA", other, other.kid), published(one), EXPECTED)
    with pytest.raises(KeyUnknown):
        checked_claims(signed(CLAIMS, "EdDSA", one, one.kid), [], EXPECTED)


@pytest.mark.parametrize("more", [{"use": "enc"}, {"alg": "RS512"}, {"kty": "oct"}])
def test_a_key_for_something_else_signs_nobody_in(more):
    key = KEY_KINDS["RS256"]()
    with pytest.raises(KeyUnknown):
        checked_claims(signed(CLAIMS, "RS256", key, key.kid), published(key, **more), EXPECTED)


@pytest.mark.filterwarnings("ignore:Key size")
def test_a_short_rsa_key_signs_nobody_in():
    key = RSAKey(rsa.generate_private_key(public_exponent=65537, key_size=1024), None, {"kid": "short"})
    with pytest.raises(KeyUnknown):
        checked_claims(signed(CLAIMS, "RS256", key, "short"), published(key, kid="short"), EXPECTED)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("HS256", OctKey.generate_key(256)),
        ("RS512", RSAKey.generate_key(2048)),
        ("PS256", RSAKey.generate_key(2048)),
        ("ES384", ECKey.generate_key("P-384")),
    ],
)
def test_an_algorithm_that_is_not_on_the_list_is_refused(algorithm, key):
    token = jws.serialize_compact(
        {"alg": algorithm}, json.dumps(CLAIMS).encode(), key, registry=JWSRegistry(algorithms=[algorithm])
    )
    with pytest.raises(IdTokenRefused, match=algorithm):
        checked_claims(token, published(key) if key.key_type != "oct" else [key.as_dict()], EXPECTED)


def test_a_key_of_another_curve_is_none_for_the_algorithm():
    key = ECKey.generate_key("P-384", auto_kid=True)
    real = KEY_KINDS["ES256"]()
    token = signed(CLAIMS, "ES256", real, key.kid)
    with pytest.raises(IdTokenRefused):
        checked_claims(token, published(key), EXPECTED)
    other = OKPKey.generate_key("X25519", auto_kid=True)
    signer = KEY_KINDS["EdDSA"]()
    with pytest.raises(KeyUnknown):
        checked_claims(signed(CLAIMS, "EdDSA", signer, other.kid), published(other), EXPECTED)


@pytest.mark.parametrize(
    "changed",
    [
        {"sub": ""},
        {"sub": 5},
        {"sub": "x" * 256},
        {"exp": str(NOW_S + 300)},
        {"exp": True},
        {"iat": None},
        {"nonce": ["the nonce"]},
        {"aud": [["megacity"]]},
        {"aud": {"megacity": 1}},
        {"iss": ["https://id.example.org"]},
        {"iss": "https://id.example.org/"},
        {"at_hash": 5},
        {"azp": "another"},
        {"nbf": NOW_S + 3_600},
    ],
)
def test_a_claim_of_the_wrong_kind_is_refused(changed):
    key = KEY_KINDS["EdDSA"]()
    with pytest.raises(IdTokenRefused):
        checked_claims(signed({**CLAIMS, **changed}, "EdDSA", key, key.kid), published(key), EXPECTED)


def test_why_it_was_refused_tells_nothing_of_the_person():
    key = KEY_KINDS["EdDSA"]()
    claims = {**CLAIMS, "nonce": "minji@example.org", "email": "minji@example.org"}
    with pytest.raises(IdTokenRefused) as refused:
        checked_claims(signed(claims, "EdDSA", key, key.kid), published(key), EXPECTED)
    assert "minji" not in str(refused.value)
