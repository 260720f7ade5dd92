"""Whatever comes back from a provider is believed after every check, and not before."""

import time

import pytest
from joserfc.jwk import RSAKey
from structlog.testing import capture_logs

from tests.support.api import eventually, refusal
from tests.support.identities import callback, new_person, sign_in, start, subject_of
from tests.support.oidc_issuer import signed, signed_by_secret, unsigned

REFUSED = (401, "sign-in-refused")


@pytest.fixture
def anybody(api):
    return api.client()


def refused_because(anybody, issuer, **changes):
    """What our log says of a sign-in that was refused."""
    with capture_logs() as logs:
        answer = sign_in(anybody, issuer, {**new_person(), **changes})
    assert refusal(answer) == REFUSED
    assert answer.json().keys() <= {"type", "title", "status", "detail", "instance", "request_id"}
    return next(entry["reason"] for entry in logs if entry["event"] == "identity refused")


def set_claims(issuer, **changes):
    issuer.claims = lambda claims: {
        name: value for name, value in {**claims, **changes}.items() if value is not None
    }


def test_a_wrong_nonce_is_refused(anybody, issuer):
    set_claims(issuer, nonce="another")
    assert "'nonce'" in refused_because(anybody, issuer)


def test_a_missing_nonce_is_refused(anybody, issuer):
    set_claims(issuer, nonce=None)
    assert "nonce" in refused_because(anybody, issuer)


@pytest.mark.parametrize("iss", ["https://accounts.example.com", "", None, 5])
def test_another_issuer_is_refused(anybody, issuer, iss):
    set_claims(issuer, iss=iss)
    assert "iss" in refused_because(anybody, issuer)


@pytest.mark.parametrize("aud", ["another", ["another"], [], None])
def test_a_token_for_another_client_is_refused(anybody, issuer, aud):
    set_claims(issuer, aud=aud)
    assert "aud" in refused_because(anybody, issuer)


def test_a_token_for_several_clients_must_say_that_it_was_made_for_us(anybody, issuer):
    set_claims(issuer, aud=["megacity", "another"])
    assert "azp" in refused_because(anybody, issuer)
    set_claims(issuer, aud=["megacity", "another"], azp="another")
    assert "azp" in refused_because(anybody, issuer)
    set_claims(issuer, aud=["megacity", "another"], azp="megacity")
    assert sign_in(anybody, issuer, new_person()).status_code == 200


def test_an_expired_token_is_refused_and_so_is_one_from_the_future(anybody, issuer):
    now_s = int(time.time())
    set_claims(issuer, exp=now_s - 61, iat=now_s - 400)
    assert "exp" in refused_because(anybody, issuer)
    set_claims(issuer, exp=now_s - 30, iat=now_s - 400)
    assert sign_in(anybody, issuer, new_person()).status_code == 200
    set_claims(issuer, iat=now_s + 120, exp=now_s + 400)
    assert "iat" in refused_because(anybody, issuer)


@pytest.mark.parametrize("missing", ["exp", "iat", "sub"])
def test_a_token_that_leaves_something_out_is_refused(anybody, issuer, missing):
    set_claims(issuer, **{missing: None})
    refused_because(anybody, issuer)


def test_the_token_of_another_access_token_is_refused(anybody, issuer):
    set_claims(issuer, at_hash="A" * 22)
    assert "at_hash" in refused_because(anybody, issuer)


def test_no_signature_is_no_proof(anybody, issuer):
    issuer.signs = lambda claims: unsigned(claims, issuer.key.kid)
    assert "none" in refused_because(anybody, issuer)


def test_the_public_key_is_no_secret(anybody, issuer):
    public = issuer.key.as_pem(private=False)
    issuer.signs = lambda claims: signed_by_secret(claims, public, issuer.key.kid)
    assert "HS256" in refused_because(anybody, issuer)


def test_a_key_of_somebody_else_under_the_issuers_name_for_it_is_refused(anybody, issuer):
    forger = RSAKey.generate_key(2048)
    issuer.signs = lambda claims: signed(claims, "RS256", forger, issuer.key.kid)
    refused_because(anybody, issuer)


def test_a_changed_claim_breaks_the_signature(anybody, issuer):
    def changed(claims):
        whole = signed(claims, "RS256", issuer.key, issuer.key.kid).split(".")
        other = signed({**claims, "sub": "somebody-else"}, "RS256", issuer.key, issuer.key.kid).split(".")
        return f"{whole[0]}.{other[1]}.{whole[2]}"

    issuer.signs = changed
    assert "signature" in refused_because(anybody, issuer)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a" * 20_000, "é.é.é"])
def test_what_is_no_token_is_refused(anybody, issuer, token):
    issuer.signs = lambda _: token
    refused_because(anybody, issuer)


def test_a_key_that_is_not_known_makes_us_ask_once_more_and_no_oftener(own_api, own_issuer, clock):
    anybody = own_api.client()
    assert sign_in(anybody, own_issuer, new_person()).status_code == 200
    assert own_issuer.requests["/jwks"] == 1
    clock.advance(10)
    forger = RSAKey.generate_key(2048)
    own_issuer.signs = lambda claims: signed(claims, "RS256", forger, "nobody-knows-this-key")
    for _ in range(5):
        assert refusal(sign_in(anybody, own_issuer, new_person())) == REFUSED
    assert own_issuer.requests["/jwks"] == 2


def test_a_new_key_of_the_issuer_is_believed_at_once(own_api, own_issuer, clock):
    anybody = own_api.client()
    assert sign_in(anybody, own_issuer, new_person()).status_code == 200
    clock.advance(10)
    own_issuer.new_key("ES256", keep=False)
    assert sign_in(anybody, own_issuer, new_person()).status_code == 200


def test_a_state_is_good_once(anybody, issuer):
    person = new_person()
    started = start(anybody)
    returned = issuer.sign_in(started["authorization_url"], **person)
    assert callback(anybody, started, returned).status_code == 200
    again = issuer.sign_in(started["authorization_url"], **person)
    assert refusal(callback(anybody, started, again)) == REFUSED


def test_of_many_who_bring_the_same_state_at_once_one_is_let_in(api, anybody, issuer):
    started = start(anybody)
    returned = issuer.sign_in(started["authorization_url"], **new_person())
    body = {**returned, "binding": started["binding"]}
    answers = api.at_once([{"method": "POST", "url": "/auth/oidc/example/callback", "json": body}] * 8)
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


def test_a_state_grows_old(own_api, own_issuer, clock):
    anybody = own_api.client()
    started = start(anybody)
    returned = own_issuer.sign_in(started["authorization_url"], **new_person())
    clock.advance(601)
    assert refusal(callback(anybody, started, returned)) == REFUSED


def test_without_the_binding_of_the_browser_nobody_finishes(anybody, issuer):
    started = start(anybody)
    returned = issuer.sign_in(started["authorization_url"], **new_person())
    assert anybody.post("/auth/oidc/example/callback", json=returned).status_code == 422
    other = start(anybody)
    assert refusal(callback(anybody, started, returned, binding=other["binding"])) == REFUSED
    # Nobody who guesses wrongly has spoilt it for the browser that started.
    assert callback(anybody, started, returned).status_code == 200


def test_a_state_of_one_provider_finishes_nothing_at_another(anybody, issuer, second_issuer):
    started = start(anybody)
    returned = issuer.sign_in(started["authorization_url"], **new_person())
    asked_before = second_issuer.requests["/token"]
    assert refusal(callback(anybody, started, returned, "second")) == REFUSED
    assert second_issuer.requests["/token"] == asked_before, "the code was shown to another provider"


def test_the_code_of_another_client_is_refused(anybody, issuer):
    started = start(anybody)
    theirs = started["authorization_url"].replace("client_id=megacity", "client_id=another")
    returned = issuer.sign_in(theirs, **new_person())
    issuer.refused.clear()
    assert refusal(callback(anybody, started, returned)) == REFUSED
    assert issuer.refused == ["invalid_grant"]


def test_a_code_that_somebody_else_started_is_refused_by_the_challenge(anybody, issuer):
    mine, theirs = start(anybody), start(anybody)
    returned = issuer.sign_in(theirs["authorization_url"], **new_person())
    issuer.refused.clear()
    injected = {"code": returned["code"], "state": mine["state"]}
    assert refusal(callback(anybody, mine, injected)) == REFUSED
    assert issuer.refused == ["invalid_grant"]


def test_a_code_is_exchanged_once(anybody, issuer):
    first, second = start(anybody), start(anybody)
    returned = issuer.sign_in(first["authorization_url"], **new_person())
    assert callback(anybody, first, returned).status_code == 200
    replayed = {"code": returned["code"], "state": second["state"]}
    assert refusal(callback(anybody, second, replayed)) == REFUSED


def test_a_code_that_comes_from_another_issuer_is_refused(anybody, issuer):
    started = start(anybody)
    returned = issuer.sign_in(started["authorization_url"], **new_person())
    wrong = callback(anybody, started, returned, iss="https://attacker.example")
    assert refusal(wrong) == REFUSED
    started = start(anybody)
    returned = issuer.sign_in(started["authorization_url"], **new_person())
    assert callback(anybody, started, returned, iss=issuer.url).status_code == 200


def test_an_issuer_that_is_away_is_told_from_a_refusal(own_api, own_issuer, clock):
    anybody = own_api.client()
    started = start(anybody)
    returned = own_issuer.sign_in(started["authorization_url"], **new_person())
    own_issuer.stop()
    answer = callback(anybody, started, returned)
    assert refusal(answer) == (503, "identity-provider-unavailable")
    assert answer.json()["provider"] == "example"
    assert int(answer.headers["Retry-After"]) >= 1
    # What it has told of itself still counts, so that a browser can be sent there.
    assert start(anybody)["authorization_url"].startswith(own_issuer.url)
    own_issuer.start()
    clock.advance(3)
    assert eventually(lambda: sign_in(anybody, own_issuer, new_person()).status_code == 200)


def test_an_issuer_that_was_never_reached_hinders_nothing_else(own_api, own_issuer, clock):
    own_issuer.stop()
    anybody = own_api.client()
    answer = anybody.post("/auth/oidc/example/start", json={})
    assert refusal(answer) == (503, "identity-provider-unavailable")
    person = own_api.person()
    body = {"email": person.email, "password": "a long enough password"}
    assert anybody.post("/auth/login", json=body).status_code == 200
    own_issuer.start()
    clock.advance(3)
    assert anybody.post("/auth/oidc/example/start", json={}).status_code == 200


def test_many_at_once_ask_the_issuer_once(own_api, own_issuer):
    request = {"method": "POST", "url": "/auth/oidc/example/start", "json": {}}
    answers = own_api.at_once([request] * 12)
    assert {answer.status_code for answer in answers} == {200}
    assert own_issuer.requests["/.well-known/openid-configuration"] == 1


def test_refused_identities_count_as_failed_sign_ins(api, anybody, issuer):
    counted = api.services.sign_in.failures._metrics.failed
    before = counted._value.get()
    set_claims(issuer, nonce="another")
    refused_because(anybody, issuer)
    assert counted._value.get() == before + 1


def test_no_token_of_the_issuer_is_a_token_of_ours(api, anybody, issuer):
    person = new_person()
    tokens = sign_in(anybody, issuer, person).json()
    assert subject_of(api, tokens).startswith("user-")
    foreign = signed({"sub": "x", "iss": issuer.url}, "RS256", issuer.key, issuer.key.kid)
    assert refusal(api.client(foreign).get("/users/me/identities")) == (401, "invalid-token")
