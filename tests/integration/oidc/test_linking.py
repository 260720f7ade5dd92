"""Link an identity to an account, unlink it, and what happens to a claim that came to nothing."""

import psycopg
import pytest

from commands.external_identities import ProvenIdentity, hash_of
from infra.composition import new_id
from tests.support.accounts import OTHER_PASSWORD, mailed_token, registered
from tests.support.api import refusal
from tests.support.authenticator import Authenticator
from tests.support.fresh_people import fresh_person, session_of
from tests.support.identities import callback, event_names, new_person, sign_in, subject_of


@pytest.fixture
def anybody(api):
    return api.client()


@pytest.fixture
def owner(api):
    return fresh_person(api)


def start_link(person, provider="example"):
    answer = person.http.post(f"/users/me/identities/{provider}/start")
    assert answer.status_code == 200, answer.text
    return answer.json()


def finish_link(person, started, returned, provider="example", **headers):
    body = {**returned, "binding": started["binding"]}
    return person.http.post(f"/users/me/identities/{provider}", json=body, headers=headers)


def link(person, issuer, who, provider="example"):
    started = start_link(person, provider)
    return finish_link(person, started, issuer.sign_in(started["authorization_url"], **who), provider)


def linked(person):
    return person.http.get("/users/me/identities").json()["providers"]


def test_the_owner_links_an_identity_and_signs_in_with_it_from_then_on(api, anybody, issuer, owner):
    who = {**new_person(), "email": owner.email}
    answer = link(owner, issuer, who)
    assert answer.status_code == 204, answer.text
    assert answer.headers["Consistency-Token"]
    assert linked(owner) == ["example"]
    tokens = sign_in(anybody, issuer, who).json()
    assert subject_of(api, tokens) == owner.user_id
    assert event_names(api, owner.user_id)[-1] == "IdentityLinked"


def test_who_registers_somebody_elses_address_keeps_no_identity_once_its_owner_sets_the_password(
    api, anybody, issuer, owner
):
    account, who = registered(api), new_person()
    attacker = session_of(api, account.user_id, account.email)
    assert link(attacker, issuer, who).status_code == 204
    anybody.post("/auth/password-reset", json={"email": account.email})
    body = {"token": mailed_token(api, account.email, "/reset-password"), "new_password": OTHER_PASSWORD}
    assert anybody.post("/auth/password-reset/confirm", json=body).status_code == 204
    assert "IdentityUnlinked" in event_names(api, account.user_id)
    # Whose identity it is may link it where it belongs, at once.
    assert link(owner, issuer, who).status_code == 204
    assert subject_of(api, sign_in(anybody, issuer, who).json()) == owner.user_id


def test_the_address_need_not_be_the_same(api, anybody, issuer, owner):
    who = new_person()
    assert link(owner, issuer, who).status_code == 204
    assert subject_of(api, sign_in(anybody, issuer, who).json()) == owner.user_id


def test_linking_the_same_again_changes_nothing(api, issuer, owner):
    who = new_person()
    assert [link(owner, issuer, who).status_code for _ in range(2)] == [204, 204]
    assert event_names(api, owner.user_id).count("IdentityLinked") == 1


def test_the_answer_may_be_sent_twice_under_one_key(issuer, owner):
    started = start_link(owner)
    returned = issuer.sign_in(started["authorization_url"], **new_person())
    key = {"Idempotency-Key": "once"}
    answers = [finish_link(owner, started, returned, **key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]


def test_an_identity_opens_one_account(api, anybody, issuer, owner):
    who = new_person()
    tokens = sign_in(anybody, issuer, who).json()
    assert refusal(link(owner, issuer, who)) == (409, "identity-taken")
    assert linked(owner) == []
    assert subject_of(api, sign_in(anybody, issuer, who).json()) == subject_of(api, tokens)


def test_an_account_has_one_identity_of_each_provider(issuer, second_issuer, owner):
    assert link(owner, issuer, new_person()).status_code == 204
    assert refusal(link(owner, issuer, new_person())) == (409, "another-identity-linked")
    assert link(owner, second_issuer, new_person(), "second").status_code == 204
    assert linked(owner) == ["example", "second"]


def test_two_accounts_that_link_one_identity_at_once_do_not_both_get_it(api, issuer):
    who, people = new_person(), [fresh_person(api) for _ in range(4)]
    bodies = []
    for person in people:
        started = start_link(person)
        returned = issuer.sign_in(started["authorization_url"], **who)
        bodies.append({**returned, "binding": started["binding"]})
    answers = api.at_once(
        [
            {
                "method": "POST",
                "url": "/users/me/identities/example",
                "json": body,
                "headers": {"Authorization": f"Bearer {person.token}"},
            }
            for person, body in zip(people, bodies, strict=True)
        ]
    )
    assert min(answer.status_code for answer in answers) == 204
    refused = {refusal(answer) for answer in answers if answer.status_code != 204}
    assert refused <= {(409, "identity-taken"), (503, "identity-claimed")}
    assert sum(bool(linked(person)) for person in people) == 1


# -- who may -----------------------------------------------------------------------------------------------


def test_what_somebody_started_for_their_account_links_nothing_to_another(api, issuer, owner):
    started = start_link(owner)
    returned = issuer.sign_in(started["authorization_url"], **new_person())
    thief = fresh_person(api)
    assert refusal(finish_link(thief, started, returned)) == (403, "identity-proof-refused")
    assert linked(thief) == []
    assert finish_link(owner, started, returned).status_code == 204


def test_a_start_for_signing_in_links_nothing_and_the_other_way_round(anybody, issuer, owner):
    started = anybody.post("/auth/oidc/example/start", json={}).json()
    returned = issuer.sign_in(started["authorization_url"], **new_person())
    assert refusal(finish_link(owner, started, returned)) == (403, "identity-proof-refused")
    started = start_link(owner)
    returned = issuer.sign_in(started["authorization_url"], **new_person())
    assert refusal(callback(anybody, started, returned)) == (401, "sign-in-refused")


def test_only_who_has_just_signed_in_links_or_unlinks(own_api, own_issuer, clock):
    owner = fresh_person(own_api)
    assert link(owner, own_issuer, new_person()).status_code == 204
    clock.advance(601)
    for answer in (
        owner.http.post("/users/me/identities/example/start"),
        owner.http.delete("/users/me/identities/example"),
    ):
        assert refusal(answer) == (403, "fresh-sign-in-required")


def test_a_program_has_no_identities(api):
    _, service = api.school().service()
    assert refusal(service.http.get("/users/me/identities")) == (404, "user-not-found")


# -- unlinking ---------------------------------------------------------------------------------------------


def test_an_unlinked_identity_opens_nothing_and_is_free_for_another_account(api, anybody, issuer, owner):
    who = new_person()
    assert link(owner, issuer, who).status_code == 204
    elsewhere = session_of(api, owner.user_id)
    assert owner.http.delete("/users/me/identities/example").status_code == 204
    assert linked(owner) == []
    assert refusal(elsewhere.http.get("/users/me/identities")) == (401, "invalid-token")
    other = fresh_person(api)
    assert link(other, issuer, who).status_code == 204
    assert subject_of(api, sign_in(anybody, issuer, who).json()) == other.user_id


def test_after_unlinking_the_identity_may_open_an_account_of_its_own(api, anybody, issuer, owner):
    who = new_person()
    assert link(owner, issuer, who).status_code == 204
    assert owner.http.delete("/users/me/identities/example").status_code == 204
    assert subject_of(api, sign_in(anybody, issuer, who).json()) != owner.user_id


def test_the_only_way_in_cannot_be_unlinked(api, anybody, issuer, second_issuer):
    tokens = sign_in(anybody, issuer, new_person()).json()
    person = session_of(api, subject_of(api, tokens))
    assert refusal(person.http.delete("/users/me/identities/example")) == (409, "last-way-in")
    assert link(person, second_issuer, new_person(), "second").status_code == 204
    assert person.http.delete("/users/me/identities/example").status_code == 204
    assert refusal(person.http.delete("/users/me/identities/second")) == (409, "last-way-in")
    assert refusal(person.http.delete("/users/me/identities/example")) == (404, "identity-not-found")


def test_a_passkey_is_a_way_in_too_until_it_is_the_last(api, anybody, issuer):
    tokens = sign_in(anybody, issuer, new_person()).json()
    person = session_of(api, subject_of(api, tokens))
    phone = Authenticator()
    made = person.http.post("/users/me/passkey-options").json()["public_key"]
    origin = api.services.other_ways.passkeys._relying_party.origins[0]
    body = {"name": "Phone", "credential": phone.create(made, origin=origin)}
    added = person.http.post("/users/me/passkeys", json=body)
    assert added.status_code == 201, added.text
    assert person.http.delete("/users/me/identities/example").status_code == 204
    url = f"/users/me/passkeys/{added.json()['passkey_id']}"
    assert refusal(person.http.delete(url)) == (409, "last-way-in")


# -- claims that came to nothing ---------------------------------------------------------------------------


def died_after_claiming(api, issuer, who, user_id):
    """As a process leaves it that dies between the claim and the event."""
    proven = ProvenIdentity(
        provider="example",
        issuer=issuer.url,
        subject=who["subject"],
        email=None,
        display_name=None,
        zone_id="univprep",
        language="ko",
    )
    subject_hash = hash_of(api.write, proven)
    api.run(api.services.other_ways.identities.claims.claim(subject_hash, user_id))


def test_a_registration_that_died_is_carried_on_by_the_next_sign_in(api, anybody, issuer):
    who = {"subject": new_person()["subject"]}
    user_id = f"user-{new_id()}"
    died_after_claiming(api, issuer, who, user_id)
    assert subject_of(api, sign_in(anybody, issuer, who).json()) == user_id


def test_a_link_that_died_keeps_nobody_out_for_longer_than_a_minute(own_api, own_issuer, clock):
    who, died, owner = new_person(), fresh_person(own_api), fresh_person(own_api)
    died_after_claiming(own_api, own_issuer, who, died.user_id)
    answer = link(owner, own_issuer, who)
    assert refusal(answer) == (503, "identity-claimed")
    assert answer.headers["Retry-After"] == "60"
    clock.advance(61)
    assert link(owner, own_issuer, who).status_code == 204
    # Who comes back to it late does not get it any more.
    assert refusal(link(died, own_issuer, who)) == (409, "identity-taken")


def test_what_was_started_and_never_finished_is_swept_away(own_api, clock):
    anybody = own_api.client()
    anybody.post("/auth/oidc/example/start", json={})
    anybody.post("/auth/passkey-options")
    ways = own_api.services.other_ways
    own_api.run(ways.sweep(clock()))
    assert waiting(own_api) == (1, 1)
    clock.advance(601)
    own_api.run(ways.sweep(clock()))
    assert waiting(own_api) == (0, 0)


def waiting(api):
    with psycopg.connect(api.database.admin_conninfo) as connection:
        return connection.execute(
            "SELECT (SELECT count(*) FROM ops.oidc_flows), (SELECT count(*) FROM ops.passkey_challenges)"
        ).fetchone()
