import base64
import json
from datetime import timedelta

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from infra.auth import tokens as tokens_module
from infra.auth.signing_key import new_signing_key, public_jwk
from infra.auth.tokens import TokenIssuer, TokenVerifier
from infra.http.errors import InvalidToken
from infra.http.principal import Principal, RoleGrant
from tests.support.http import NOW, STUDENT, SetClock, id_source

KEY = new_signing_key()
NOW_S = int(NOW.timestamp())
CLAIMS = {
    "iss": "megacity",
    "aud": "megacity-api",
    "sub": STUDENT.subject_id,
    "iat": NOW_S,
    "exp": NOW_S + 900,
    "jti": "token-1",
    "sid": "session-1",
    "zone": "univprep",
    "roles": [{"role": "student"}],
}


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def issuer(clock):
    return TokenIssuer(KEY, "megacity", "megacity-api", 900, clock, new_id=id_source())


@pytest.fixture
def verifier(clock):
    return TokenVerifier([public_jwk(KEY)], "megacity", "megacity-api", clock)


def signed(claims, *, key=KEY, header=None):
    header = {"alg": "EdDSA", "kid": KEY["kid"]} if header is None else header
    return jwt.encode(header, claims, OKPKey.import_key(key), registry=tokens_module._REGISTRY)


def parts(token):
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def reason(verifier, token):
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(token)
    return refused.value.reason


def test_a_token_says_exactly_what_the_house_agreed_on(issuer):
    teacher = msgspec.structs.replace(
        STUDENT, roles=(RoleGrant("teacher", "organization-1"), RoleGrant("student"))
    )
    token, expires_in_s = issuer.issue(teacher)
    header, claims = parts(token)
    assert header == {"typ": "JWT", "alg": "EdDSA", "kid": KEY["kid"]}
    assert expires_in_s == 900
    assert claims.pop("jti")
    assert claims == {
        "iss": "megacity",
        "aud": "megacity-api",
        "sub": STUDENT.subject_id,
        "iat": NOW_S,
        "exp": NOW_S + 900,
        "sid": "session-1",
        "zone": "univprep",
        "roles": [{"role": "teacher", "org": "organization-1"}, {"role": "student"}],
    }


@pytest.mark.parametrize(
    "principal",
    [
        STUDENT,
        Principal("client-1", "kzone", (RoleGrant("service", "organization-1"),), "session-2"),
        Principal("user-1", "univprep", (), "session-3", attempt_id="attempt-1"),
    ],
)
def test_whom_a_token_was_issued_to_comes_back(issuer, verifier, principal):
    assert verifier.verify(issuer.issue(principal)[0]) == principal


def test_no_two_tokens_are_the_same(issuer):
    assert issuer.issue(STUDENT)[0] != issuer.issue(STUDENT)[0]


def test_a_token_may_be_made_for_a_time_of_its_own(issuer, verifier, clock):
    token, expires_in_s = issuer.issue(STUDENT, ttl_s=7200)
    assert expires_in_s == 7200
    clock.now = NOW + timedelta(seconds=7100)
    assert verifier.verify(token) == STUDENT


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_token_expires_also_when_it_is_remembered(issuer, verifier, clock, seen_before):
    token, _ = issuer.issue(STUDENT)
    if seen_before:
        verifier.verify(token)
    clock.now = NOW + timedelta(seconds=904)
    assert verifier.verify(token) == STUDENT
    clock.now = NOW + timedelta(seconds=905)
    assert reason(verifier, token) == "it has expired"


def test_a_token_from_the_future_is_refused_beyond_the_leeway(verifier, clock):
    token = signed(CLAIMS)
    clock.now = NOW - timedelta(seconds=5)
    assert verifier.verify(token) == STUDENT
    clock.now = NOW - timedelta(seconds=6)
    assert reason(verifier, token) == "it is not valid yet"


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_every_claim_is_required(verifier, claim):
    assert verifier.verify(signed(CLAIMS)) == STUDENT
    assert reason(verifier, signed({name: value for name, value in CLAIMS.items() if name != claim}))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("exp", "tomorrow"),
        ("exp", NOW_S + 0.5),
        ("exp", None),
        ("iat", True),
        ("sub", 7),
        ("roles", "student"),
        ("roles", [{"org": "organization-1"}]),
        ("zone", None),
        ("aud", ["megacity-api", "others"]),
        ("attempt", 7),
    ],
)
def test_every_claim_has_its_type(verifier, claim, value):
    assert reason(verifier, signed({**CLAIMS, claim: value})) == "it is not one of ours"


@pytest.mark.parametrize(("claim", "value"), [("iss", "somebody"), ("aud", "something")])
def test_a_token_for_somebody_else_is_refused(verifier, claim, value):
    assert reason(verifier, signed({**CLAIMS, claim: value})) == "it was made for somebody else"


def test_a_token_signed_with_another_key_is_refused(verifier):
    other = new_signing_key()
    assert reason(verifier, signed(CLAIMS, key=other)) == "its signature is wrong"
    assert reason(verifier, signed(CLAIMS, key=other, header={"alg": "EdDSA", "kid": other["kid"]})) == (
        "its key is not known"
    )


def test_the_key_id_is_required_even_where_there_is_one_key(verifier):
    assert reason(verifier, signed(CLAIMS, header={"alg": "EdDSA"})) == "its key is not known"


def test_a_changed_token_is_refused(verifier):
    header, _, signature = signed(CLAIMS).split(".")
    claims = {**CLAIMS, "roles": [{"role": "sys_admin"}]}
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert reason(verifier, f"{header}.{forged}.{signature}") == "its signature is wrong"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "Ed25519"])
def test_one_algorithm_is_taken_and_no_other(verifier, algorithm):
    # "HS256" with the public key as the secret is the classic forgery.
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": KEY["kid"]}).encode()).rstrip(b"=")
    payload = base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).rstrip(b"=")
    signature = b""
    if algorithm == "HS256":
        secret = OctKey.import_key(public_jwk(KEY)["x"])
        forged = jwt.encode({"alg": "HS256", "kid": KEY["kid"]}, CLAIMS, secret, algorithms=["HS256"])
        signature = forged.split(".")[2].encode()
    assert reason(verifier, b".".join([header, payload, signature]).decode()) == "it is not one of ours"


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "a.b.c.d.e", "한글", "\ud800", "\x00", "x" * 100_000, "e30.e30.", "W10.W10.W10"],
)
def test_what_is_no_token_is_refused(verifier, text):
    assert reason(verifier, text) in {"it is not one of ours", "its key is not known"}


def test_tokens_of_an_older_key_are_taken_as_long_as_it_is_listed(issuer, clock):
    newer = new_signing_key()
    both = TokenVerifier([public_jwk(newer), public_jwk(KEY)], "megacity", "megacity-api", clock)
    only_newer = TokenVerifier([public_jwk(newer)], "megacity", "megacity-api", clock)
    token, _ = issuer.issue(STUDENT)
    assert both.verify(token) == STUDENT
    assert reason(only_newer, token) == "its key is not known"


def test_a_signature_is_checked_once_and_only_so_many_tokens_are_remembered(issuer, clock, monkeypatch):
    verifier = TokenVerifier([public_jwk(KEY)], "megacity", "megacity-api", clock, remembered=2)
    checked = []
    check = verifier._checked_claims
    monkeypatch.setattr(verifier, "_checked_claims", lambda token: checked.append(token) or check(token))
    first, second, third = (issuer.issue(STUDENT)[0] for _ in range(3))
    for token in (first, second, first, third, first):
        verifier.verify(token)
    assert checked == [first, second, third]
    verifier.verify(second)  # the one not used for longest was forgotten
    assert checked == [first, second, third, second]


def test_refused_tokens_are_not_remembered(verifier):
    for _ in range(3):
        reason(verifier, "a.b.c")
    assert not verifier._verified._entries


def test_the_public_key_holds_nothing_private():
    assert set(public_jwk(KEY)) == {"kty", "crv", "x", "kid", "alg", "use"}
