"""Sign in with another identity provider, over HTTP, with a real issuer."""

from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from domain.users.account import GrantedRole
from tests.support.api import PASSWORD, bearer, refusal
from tests.support.identities import event_names, linked_providers, new_person, sign_in, start, subject_of


@pytest.fixture
def anybody(api):
    return api.client()


def test_the_providers_are_listed_in_the_order_of_the_settings(anybody):
    assert anybody.get("/auth/oidc/providers").json() == {
        "providers": [{"name": "example", "title": "Example ID"}, {"name": "second", "title": "second"}]
    }


def test_a_start_sends_the_browser_to_the_issuer_with_state_nonce_and_a_challenge(api, anybody, issuer):
    started = start(anybody)
    asked = parse_qs(urlsplit(started["authorization_url"]).query)
    assert started["authorization_url"].startswith(f"{issuer.url}/authorize?")
    assert asked["state"] == [started["state"]]
    assert asked["redirect_uri"] == ["https://site.example.org/sign-in/example"]
    assert asked["code_challenge_method"] == ["S256"]
    assert started["binding"] not in started["authorization_url"]
    for secret in (started["state"], started["binding"], *asked["nonce"]):
        assert_not_stored(api, secret)


def assert_not_stored(api, text):
    with psycopg.connect(api.database.admin_conninfo) as connection:
        found = connection.execute("SELECT to_jsonb(f)::text FROM ops.oidc_flows f").fetchall()
    assert found
    assert all(text not in row for (row,) in found)


def test_whoever_signs_in_for_the_first_time_gets_an_account_without_a_password(api, anybody, issuer):
    person = new_person()
    answer = sign_in(anybody, issuer, person, language="en", zone_id="univprep")
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    user_id = subject_of(api, tokens)
    assert event_names(api, user_id) == ["UserRegistered", "RoleGranted", "IdentityLinked", "EmailVerified"]
    registered, _, linked, _ = api.events(user_id)
    assert (registered.display_name, registered.language, registered.credential_id) == ("김민지", "en", None)
    assert linked.provider == "example"
    assert person["subject"] not in linked.subject_hash
    assert linked_providers(api, tokens) == ["example"]
    again = anybody.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert again.status_code == 200
    sees_it = {"Consistency-Token": answer.headers["Consistency-Token"]}
    me = api.client(tokens["access_token"]).get("/users/me", headers=sees_it).json()
    assert (me["display_name"], me["email"]) == ("김민지", person["email"])
    assert [each["role"] for each in me["roles"]] == ["student"]


def test_who_comes_again_gets_the_same_account(api, anybody, issuer):
    person = new_person()
    first = sign_in(anybody, issuer, person).json()
    second = sign_in(anybody, issuer, {**person, "email": "another-address@example.org"}).json()
    assert subject_of(api, first) == subject_of(api, second)
    assert len(api.events(subject_of(api, first))) == 4


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_each_allowed_algorithm_signs_people_in(anybody, issuer, own_algorithm, algorithm):
    own_algorithm(algorithm)
    assert sign_in(anybody, issuer, new_person()).status_code == 200


@pytest.fixture
def own_algorithm(api, issuer):
    documents = api.services.other_ways.oidc._clients["example"]._documents

    def use(algorithm):
        issuer.new_key(algorithm)
        documents._keys._fetched_at_s = float("-inf")

    yield use
    use("RS256")


def test_the_same_subject_at_another_issuer_is_somebody_else(api, anybody, issuer, second_issuer):
    person = new_person()
    first = sign_in(anybody, issuer, person).json()
    del person["email"]
    second = sign_in(anybody, second_issuer, person, "second").json()
    assert subject_of(api, first) != subject_of(api, second)


def test_an_address_that_the_provider_does_not_vouch_for_is_not_taken_over(api, anybody, issuer):
    person = {**new_person(), "email_verified": False}
    tokens = sign_in(anybody, issuer, person).json()
    registered = api.events(subject_of(api, tokens))[0]
    assert registered.email is None
    assert registered.email_hash is None
    # Whoever does read that mail can still register with it.
    body = {"email": person["email"], "password": PASSWORD, "display_name": "the reader"}
    assert anybody.post("/auth/register", json=body).status_code == 201


def test_an_account_with_the_same_address_is_never_linked_silently(api, anybody, issuer):
    owner = api.person()
    person = {**new_person(), "email": owner.email}
    assert refusal(sign_in(anybody, issuer, person)) == (409, "account-exists")
    assert "IdentityLinked" not in event_names(api, owner.user_id)


def test_who_registers_somebody_elses_address_first_does_not_get_their_identity(api, anybody, issuer):
    person = new_person()
    body = {"email": person["email"], "password": PASSWORD, "display_name": "who waits for its reader"}
    early = anybody.post("/auth/register", json=body).json()["user_id"]
    assert refusal(sign_in(anybody, issuer, person)) == (409, "account-exists")
    assert event_names(api, early) == ["UserRegistered", "RoleGranted"]


def test_two_callbacks_at_once_for_a_new_identity_make_one_account(api, anybody, issuer):
    person = new_person()
    bodies = []
    for _ in range(6):
        started = start(anybody)
        returned = issuer.sign_in(started["authorization_url"], **person)
        bodies.append({**returned, "binding": started["binding"]})
    answers = api.at_once(
        [{"method": "POST", "url": "/auth/oidc/example/callback", "json": body} for body in bodies]
    )
    assert [answer.status_code for answer in answers] == [200] * 6, [answer.text for answer in answers]
    [user_id] = {subject_of(api, answer.json()) for answer in answers}
    assert len(api.events(user_id)) == 4


def test_the_same_without_an_address_makes_one_account_too(api, anybody, issuer):
    person = {"subject": new_person()["subject"]}
    bodies = []
    for _ in range(6):
        started = start(anybody)
        returned = issuer.sign_in(started["authorization_url"], **person)
        bodies.append({**returned, "binding": started["binding"]})
    answers = api.at_once(
        [{"method": "POST", "url": "/auth/oidc/example/callback", "json": body} for body in bodies]
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({subject_of(api, answer.json()) for answer in answers}) == 1


def test_nobody_registers_into_a_zone_that_is_not_open(anybody, issuer):
    answer = sign_in(anybody, issuer, new_person(), zone_id="mediprep")
    assert answer.status_code == 409
    assert refusal(answer)[1] == "zone-not-active"


def test_a_deactivated_account_is_not_opened_and_no_new_one_is_made(api, anybody, issuer):
    person = new_person()
    user_id = subject_of(api, sign_in(anybody, issuer, person).json())
    admin = api.person(GrantedRole("sys_admin"))
    done = admin.http.post(f"/users/{user_id}/deactivation", json={"reason": "left"})
    assert done.status_code == 204, done.text
    before = identities(api)
    assert refusal(sign_in(anybody, issuer, person)) == (401, "sign-in-refused")
    assert identities(api) == before


def identities(api):
    with psycopg.connect(api.database.admin_conninfo) as connection:
        return connection.execute("SELECT count(*) FROM ops.identity_claims").fetchone()


def test_an_account_without_a_password_is_not_opened_by_any(anybody, issuer):
    person = new_person()
    assert sign_in(anybody, issuer, person).status_code == 200
    for password in ("None", "null", PASSWORD):
        answer = anybody.post("/auth/login", json={"email": person["email"], "password": password})
        assert refusal(answer) == (401, "sign-in-refused")


def test_an_unknown_provider_is_not_found(anybody):
    assert refusal(anybody.post("/auth/oidc/nobody/start", json={})) == (404, "provider-not-found")
    body = {"code": "x", "state": "s" * 43, "binding": "b" * 43}
    assert refusal(anybody.post("/auth/oidc/nobody/callback", json=body)) == (404, "provider-not-found")


def test_the_sign_in_shows_among_the_sessions(anybody, issuer):
    tokens = sign_in(anybody, issuer, new_person()).json()
    [session] = anybody.get("/auth/sessions", headers=bearer(tokens["access_token"])).json()["sessions"]
    assert session["current"]
