"""Attacks on signing in and on what a token opens, each over HTTP."""

import base64
import json
from datetime import timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from domain.users.account import GrantedRole
from infra.auth.signing_key import new_signing_key, public_jwk
from infra.auth.tokens import TokenIssuer
from infra.composition import new_id
from infra.http.principal import Principal, RoleGrant
from tests.support.accounts import new_email, opens, registered, registration, sign_in, tokens
from tests.support.api import PASSWORD, bearer, refusal

ADMIN = (RoleGrant("sys_admin"),)


@pytest.fixture
def account(api):
    return registered(api)


def forged_with(api, *, key=None, issuer=None, audience=None, ahead_s=0.0, ttl_s=900):
    """A token for a sys_admin, made as our own issuer makes them but for what is given."""
    auth = api.settings.auth
    made = TokenIssuer(
        key or api.services.sign_in.token_keys.signing_key(),
        issuer or auth.issuer,
        audience or auth.audience,
        ttl_s,
        lambda: api.clock() + timedelta(seconds=ahead_s),
        new_id=new_id,
    )
    principal = Principal(f"user-{new_id()}", "univprep", ADMIN, new_id())
    return made.issue(principal)[0]


def encoded(part):
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def decoded(part):
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def refused_because(api, token):
    answer = api.client().get("/auth/sessions", headers=bearer(token))
    assert refusal(answer) == (401, "invalid-token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    return answer.json()["reason"]


# -- forged tokens -----------------------------------------------------------------------------------------


def test_a_token_made_as_ours_are_is_taken(api):
    assert opens(api, forged_with(api))  # or the tests below would prove nothing


@pytest.mark.parametrize("changed", [{"issuer": "urn:another"}, {"audience": "another-api"}])
def test_a_token_of_another_issuer_or_for_another_audience_is_refused(api, changed):
    assert refused_because(api, forged_with(api, **changed)) == "it was made for somebody else"


def test_a_token_signed_with_another_key_is_refused_whatever_key_it_names(api):
    stranger = new_signing_key()
    assert refused_because(api, forged_with(api, key=stranger)) == "its key is not known"
    ours = api.services.sign_in.token_keys.signing_key()["kid"]
    impostor = {**stranger, "kid": ours}
    assert refused_because(api, forged_with(api, key=impostor)) == "its signature is wrong"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
@pytest.mark.parametrize("keep_signature", [False, True])
def test_an_unsigned_token_is_refused(api, algorithm, keep_signature):
    header, claims, signature = forged_with(api).split(".")
    unsigned = encoded({**decoded(header), "alg": algorithm})
    forged = f"{unsigned}.{claims}.{signature if keep_signature else ''}"
    assert refused_because(api, forged) == "it is not one of ours"


def test_a_token_signed_by_hs256_with_our_public_key_is_refused(api):
    public = public_jwk(api.services.sign_in.token_keys.signing_key())
    claims = decoded(forged_with(api).split(".")[1])
    spellings = [
        public["x"].encode(),
        base64.urlsafe_b64decode(public["x"] + "="),
        json.dumps(public).encode(),
    ]
    for secret in spellings:
        key = OctKey.import_key(secret)
        forged = jwt.encode({"alg": "HS256", "kid": public["kid"]}, claims, key, algorithms=["HS256"])
        assert refused_because(api, forged) == "it is not one of ours"


@pytest.mark.parametrize("header", ["jwk", "jku", "x5u"])
def test_a_token_that_brings_its_own_key_is_refused(api, header):
    stranger = new_signing_key()
    head, claims, signature = forged_with(api, key=stranger).split(".")
    brought = public_jwk(stranger) if header == "jwk" else "http://127.0.0.1:9/keys.json"
    assert refused_because(api, f"{encoded({**decoded(head), header: brought})}.{claims}.{signature}")


def test_claims_that_were_changed_after_signing_are_refused(api, account):
    head, claims, signature = tokens(api, account)["access_token"].split(".")
    changed = {**decoded(claims), "roles": [{"role": "sys_admin"}], "zone": "mediprep"}
    assert refused_because(api, f"{head}.{encoded(changed)}.{signature}") == "its signature is wrong"


def test_an_expired_token_is_refused_after_five_seconds_of_clock_skew(api):
    assert opens(api, forged_with(api, ahead_s=-13.0, ttl_s=10))
    assert refused_because(api, forged_with(api, ahead_s=-16.0, ttl_s=10)) == "it has expired"


def test_a_token_from_a_clock_that_is_five_seconds_ahead_passes_and_six_does_not(own_api):
    # Tokens say whole seconds, and one may begin between making a token and showing it: this clock stands.
    now = own_api.clock().replace(microsecond=0)
    own_api.services.token_verifier._clock = lambda: now
    ahead = {
        seconds: TokenIssuer(
            own_api.services.sign_in.token_keys.signing_key(),
            own_api.settings.auth.issuer,
            own_api.settings.auth.audience,
            900,
            lambda seconds=seconds: now + timedelta(seconds=seconds),
            new_id=new_id,
        ).issue(Principal(f"user-{new_id()}", "univprep", ADMIN, new_id()))[0]
        for seconds in (5, 6)
    }
    assert opens(own_api, ahead[5])
    assert refused_because(own_api, ahead[6]) == "it is not valid yet"


@pytest.mark.parametrize("where", ["query", "cookie", "basic", "body"])
def test_a_token_counts_in_the_authorization_header_and_nowhere_else(api, account, where):
    token = tokens(api, account)["access_token"]
    request = {
        "query": {"params": {"access_token": token}},
        "cookie": {"headers": {"Cookie": f"access_token={token}; Authorization=Bearer {token}"}},
        "basic": {"headers": {"Authorization": f"Basic {token}"}},
        "body": {"json": {"access_token": token}},
    }[where]
    answer = api.client().request("GET", "/auth/sessions", **request)
    assert refusal(answer) == (401, "unauthenticated")


def test_a_refresh_token_is_no_access_token_and_an_access_token_no_refresh_token(api, account):
    given = tokens(api, account)
    assert not opens(api, given["refresh_token"])
    answer = api.client().post("/auth/refresh", json={"refresh_token": given["access_token"]})
    assert answer.status_code in {401, 422}


# -- roles and zones that nobody gave ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        {"role": "sys_admin"},
        {"roles": [{"role": "sys_admin"}]},
        {"org_id": "organization-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"},
        {"user_id": "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"},
        {"email_verified": True},
        {"credential_id": "mine"},
        {"origin": "bootstrap"},
        {"__class__": "sys_admin"},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_what_a_registration_may_not_say_is_refused_and_nobody_is_registered(api, asked):
    body = registration(**asked)
    answer = api.client().post("/auth/register", json=body)
    assert refusal(answer) == (422, "invalid-request")
    [error] = answer.json()["errors"]
    assert (error["code"], error["pointer"]) == ("extra_forbidden", f"#/{next(iter(asked))}")
    again = api.client().post("/auth/register", json={**body} | dict.fromkeys(asked, None))
    assert again.status_code == 422
    wanted = {name: value for name, value in body.items() if name not in asked}
    assert api.client().post("/auth/register", json=wanted).status_code == 201


@pytest.mark.parametrize("zone_id", ["mediprep", "kzone", "nowhere", "", "univprep'--"])
def test_nobody_registers_into_a_zone_that_is_not_open(api, zone_id):
    answer = api.client().post("/auth/register", json=registration(zone_id=zone_id))
    assert answer.status_code in {409, 422}


@pytest.mark.parametrize(
    "header", ["X-Zone-Id", "X-Zone", "Zone-Id", "X-Org-Id", "X-Tenant-Id", "X-User-Id", "X-Roles"]
)
def test_a_zone_or_a_role_in_a_header_has_no_effect(api, header):
    student = api.school().student()
    value = {
        "X-Org-Id": api.school().org_id,
        "X-Roles": "sys_admin",
        "X-User-Id": api.person().user_id,
    }.get(header, "mediprep")
    plain = student.http.get("/users/me")
    lying = student.http.get("/users/me", headers={header: value})
    assert lying.json() == plain.json()
    reached = student.http.post("/item-banks", json={"name": "Bank"}, headers={header: value})
    assert reached.status_code == 403
    made = api.client().post("/auth/register", json=registration(), headers={header: value})
    assert made.json()["zone_id"] == "univprep"


@pytest.mark.parametrize(
    "extra",
    [
        {"roles": [{"role": "sys_admin"}]},
        {"role": "teacher"},
        {"zone_id": "mediprep"},
        {"org_id": "organization-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"},
        {"email": "another@example.org"},
        {"email_verified": True},
        {"user_id": "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"},
        {"credential_id": "mine"},
        {"version": 1},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_a_profile_takes_no_field_but_its_own(api, account, extra):
    here = api.client(tokens(api, account)["access_token"])
    before = api.events(account.user_id)
    answer = here.put("/users/me", json={"display_name": "Mallory", **extra})
    assert refusal(answer) == (422, "invalid-request")
    assert [error["code"] for error in answer.json()["errors"]] == ["extra_forbidden"]
    assert api.events(account.user_id) == before


# -- what an answer tells ----------------------------------------------------------------------------------


def test_an_address_that_nobody_has_costs_the_same_hashes_and_gets_the_same_answer(own_api):
    known, ended = registered(own_api), registered(own_api)
    admin = own_api.person(GrantedRole("sys_admin"))
    own = f"/users/{ended.user_id}/deactivation"
    assert admin.http.post(own, json={"reason": "left"}).status_code == 204
    counted = own_api.count_hashes()
    changing = {"x-request-id", "date", "ratelimit"}
    seen = []
    for address, password in (
        (known.email, "not the one"),
        (new_email(), PASSWORD),
        (ended.email, PASSWORD),
    ):
        before = counted()
        answer = own_api.client().post("/auth/login", json={"email": address, "password": password})
        assert refusal(answer) == (401, "sign-in-refused")
        document = {name: value for name, value in answer.json().items() if name != "request_id"}
        headers = {name: value for name, value in answer.headers.items() if name not in changing}
        seen.append((document, headers, counted() - before))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][2] == 1


def test_a_program_that_nobody_knows_costs_the_same_hashes_and_gets_the_same_answer(own_api):
    client_id, _ = own_api.school().service(client_secret="only the program knows")
    counted = own_api.count_hashes()
    seen = []
    for name in (client_id, "client-of-nobody"):
        before = counted()
        asked = {"grant_type": "client_credentials", "client_id": name, "client_secret": "wrong"}
        answer = own_api.client().post("/auth/token", json=asked)
        document = {key: value for key, value in answer.json().items() if key != "request_id"}
        seen.append((answer.status_code, document, counted() - before))
    assert seen[0] == seen[1]
    assert seen[0][2] == 1


def test_a_taken_address_is_told_before_a_slow_hash_is_spent_on_it(own_api):
    account = registered(own_api)
    counted = own_api.count_hashes()
    again = own_api.client().post("/auth/register", json=registration(email=account.email))
    assert refusal(again) == (409, "email-taken")
    assert counted() == 0


# -- the sessions and tokens of others ---------------------------------------------------------------------


def test_a_guessed_refresh_token_opens_nothing_and_ends_nothing(api, account):
    given = tokens(api, account)
    right = given["refresh_token"]
    for guess in ("A" * 43, right[:-1], right + "A", right.swapcase(), right[::-1]):
        answer = api.client().post("/auth/refresh", json={"refresh_token": guess})
        assert answer.status_code in {401, 422}
    assert opens(api, given["access_token"])
    assert api.client().post("/auth/refresh", json={"refresh_token": right}).status_code == 200


def test_nobody_is_signed_in_by_the_hash_that_lies_in_the_database(api, account):
    [(hash_,)] = api.query("SELECT hash FROM ops.credentials WHERE subject_id = %s", account.user_id)
    assert sign_in(api, account, hash_).status_code == 401
    tokens(api, account)
    stored = api.query(
        "SELECT encode(token_hash, 'hex'), encode(token_hash, 'base64') FROM ops.refresh_tokens"
        " JOIN ops.refresh_families USING (session_id) WHERE subject_id = %s",
        account.user_id,
    )
    assert stored
    for each in stored[0]:
        answer = api.client().post("/auth/refresh", json={"refresh_token": each.rstrip("=\n")})
        assert answer.status_code in {401, 422}


@pytest.mark.parametrize("text", ["' OR 1=1 --", "%' UNION SELECT hash FROM ops.credentials --", "$$;$$"])
def test_sql_in_what_is_sent_to_sign_in_is_text_like_any_other(api, text):
    for path, body in (
        ("/auth/login", {"email": text, "password": text}),
        ("/auth/login", {"email": new_email(), "password": text}),
        ("/auth/refresh", {"refresh_token": text}),
        ("/auth/token", {"grant_type": "client_credentials", "client_id": text, "client_secret": text}),
        ("/auth/password-reset", {"email": text}),
        ("/auth/password-reset/confirm", {"token": text, "new_password": PASSWORD}),
        ("/auth/email-verification", {"token": text}),
    ):
        assert api.client().post(path, json=body).status_code in {401, 422}, path
    made = api.client().post("/auth/register", json=registration(display_name=text))
    assert made.status_code == 201
    assert made.json()["display_name"] == text
