"""Passkeys over HTTP, with software authenticators: add one, sign in with it, remove it."""

import asyncio
from datetime import UTC, datetime, timedelta

import cbor2
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from domain.users.account import GrantedRole
from tests.support.accounts import OTHER_PASSWORD, mailed_token, registered
from tests.support.api import PASSWORD, bearer, refusal
from tests.support.authenticator import USER_PRESENT, Authenticator, decoded, encoded
from tests.support.fresh_people import fresh_person, session_of

SIGN_IN_REFUSED = (401, "sign-in-refused")
REFUSED = (403, "passkey-refused")


def options(http, path="/users/me/passkey-options"):
    answer = http.post(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["public_key"]


def register(person, authenticator, name="My phone", **wrong):
    credential = authenticator.create(options(person.http), **wrong)
    return person.http.post("/users/me/passkeys", json={"name": name, "credential": credential})


def sign_in(api, authenticator, **wrong):
    anybody = api.client()
    credential = authenticator.get(options(anybody, "/auth/passkey-options"), **wrong)
    return anybody.post("/auth/passkeys", json={"credential": credential})


def listed(person):
    return person.http.get("/users/me/passkeys").json()["passkeys"]


@pytest.fixture
def person(api):
    return fresh_person(api)


@pytest.fixture
def phone_of():
    """An authenticator that opens somebody's account."""

    def made_for(person):
        made = Authenticator()
        answer = register(person, made)
        assert answer.status_code == 201, answer.text
        return made

    return made_for


@pytest.fixture
def phone(person, phone_of):
    """An authenticator that opens the person's account."""
    return phone_of(person)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_passkey_opens_the_account_without_a_name_or_a_password(api, person, algorithm):
    authenticator = Authenticator(algorithm)
    added = register(person, authenticator, "민지의 휴대전화")
    assert added.status_code == 201, added.text
    assert added.headers["Consistency-Token"]
    tokens = sign_in(api, authenticator).json()
    assert api.services.token_verifier.verify(tokens["access_token"]).subject_id == person.user_id
    [shown] = listed(person)
    assert (shown["passkey_id"], shown["name"]) == (added.json()["passkey_id"], "민지의 휴대전화")
    assert shown["last_used_at"] >= shown["created_at"]
    assert shown["suspected_copy_at"] is None
    renewed = api.client().post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert renewed.status_code == 200


def test_the_log_names_the_passkey_and_holds_no_key(api, person, phone):
    event = api.events(person.user_id)[-1]
    assert type(event).__name__ == "PasskeyRegistered"
    with psycopg.connect(api.database.admin_conninfo) as connection:
        [(ref, stored)] = connection.execute(
            "SELECT credential_ref, credential_id FROM ops.passkeys WHERE user_id = %s", (person.user_id,)
        ).fetchall()
    assert (event.credential_ref, event.name) == (ref, "My phone")
    assert stored == phone.passkeys[0].credential_id


def test_the_options_for_signing_in_are_the_same_for_everybody_but_for_the_challenge(api):
    one, other = (options(api.client(), "/auth/passkey-options") for _ in range(2))
    assert one.pop("challenge") != other.pop("challenge")
    assert one == other
    assert one["userVerification"] == "required"
    assert one.get("allowCredentials", []) == []


def test_the_options_for_a_new_one_leave_out_what_is_registered(person, phone):
    made = options(person.http)
    assert [decoded(each["id"]) for each in made["excludeCredentials"]] == [phone.passkeys[0].credential_id]
    assert decoded(made["user"]["id"]) == person.user_id.encode()
    assert made["authenticatorSelection"]["residentKey"] == "required"
    assert made["authenticatorSelection"]["userVerification"] == "required"


def test_adding_one_twice_under_one_key_adds_one(person):
    credential = Authenticator().create(options(person.http))
    body = {"name": "Phone", "credential": credential}
    answers = [
        person.http.post("/users/me/passkeys", json=body, headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len(listed(person)) == 1


# -- who may -----------------------------------------------------------------------------------------------


def test_only_who_has_just_signed_in_may_add_one(own_api, clock):
    person = fresh_person(own_api)
    credential = Authenticator().create(options(person.http))
    clock.advance(601)
    late = person.http.post("/users/me/passkey-options")
    assert refusal(late) == (403, "fresh-sign-in-required")
    body = {"name": "Phone", "credential": credential}
    assert refusal(person.http.post("/users/me/passkeys", json=body)) == (403, "fresh-sign-in-required")


def test_new_tokens_do_not_make_an_old_sign_in_fresh(own_api, clock):
    person = own_api.person()
    anybody = own_api.client()
    tokens = anybody.post("/auth/login", json={"email": person.email, "password": PASSWORD}).json()
    clock.advance(601)
    tokens = anybody.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    answer = anybody.post("/users/me/passkey-options", headers=bearer(tokens["access_token"]))
    assert refusal(answer) == (403, "fresh-sign-in-required")


def test_a_program_has_no_passkeys(api):
    _, service = api.school().service()
    assert refusal(service.http.get("/users/me/passkeys")) == (404, "user-not-found")
    assert refusal(service.http.post("/users/me/passkey-options")) == (403, "fresh-sign-in-required")


def test_nobody_sees_or_removes_the_passkey_of_another(api, person, phone):
    [shown] = listed(person)
    other = fresh_person(api)
    assert listed(other) == []
    answer = other.http.delete(f"/users/me/passkeys/{shown['passkey_id']}")
    assert refusal(answer) == (404, "passkey-not-found")
    assert sign_in(api, phone).status_code == 200


# -- removing ----------------------------------------------------------------------------------------------


def test_a_removed_passkey_opens_nothing_and_ends_the_other_sessions(api, person, phone):
    elsewhere = sign_in(api, phone).json()
    [shown] = listed(person)
    assert person.http.delete(f"/users/me/passkeys/{shown['passkey_id']}").status_code == 204
    assert listed(person) == []
    assert refusal(sign_in(api, phone)) == SIGN_IN_REFUSED
    ended = api.client(elsewhere["access_token"]).get("/users/me/passkeys")
    assert refusal(ended) == (401, "invalid-token")
    assert type(api.events(person.user_id)[-1]).__name__ == "PasskeyRemoved"
    again = person.http.delete(f"/users/me/passkeys/{shown['passkey_id']}")
    assert refusal(again) == (404, "passkey-not-found")


def test_a_sign_in_that_began_before_its_passkey_was_removed_opens_nothing(api, person, phone, monkeypatch):
    start = api.services.refresh_tokens.start
    [shown] = listed(person)

    async def started_later(*args, **named):
        removed = await asyncio.to_thread(person.http.delete, f"/users/me/passkeys/{shown['passkey_id']}")
        assert removed.status_code == 204, removed.text
        return await start(*args, **named)

    monkeypatch.setattr(api.services.refresh_tokens, "start", started_later)
    sessions = len(api.run(api.services.refresh_tokens.sessions(person.user_id, api.clock())))
    assert refusal(sign_in(api, phone)) == SIGN_IN_REFUSED
    assert len(api.run(api.services.refresh_tokens.sessions(person.user_id, api.clock()))) <= sessions


def test_a_passkey_that_no_event_names_opens_nothing(api, person, phone):
    # As after a crash between the public key and the event.
    with psycopg.connect(api.database.admin_conninfo) as connection:
        connection.execute(
            "UPDATE ops.passkeys SET credential_ref = 'nobody-names-this' WHERE user_id = %s",
            (person.user_id,),
        )
    assert refusal(sign_in(api, phone)) == SIGN_IN_REFUSED


def test_a_deactivated_account_is_not_opened(api, person, phone):
    admin = api.person(GrantedRole("sys_admin"))
    done = admin.http.post(f"/users/{person.user_id}/deactivation", json={"reason": "left"})
    assert done.status_code == 204, done.text
    assert refusal(sign_in(api, phone)) == SIGN_IN_REFUSED


def test_an_account_has_twenty_passkeys_at_most(person):
    for _ in range(20):
        assert register(person, Authenticator()).status_code == 201
    assert refusal(register(person, Authenticator())) == (409, "too-many-passkeys")


@pytest.mark.parametrize(("confirmed", "opens"), [(False, False), (True, True)])
def test_who_registers_somebody_elses_address_keeps_no_passkey_once_its_owner_sets_the_password(
    api, phone_of, confirmed, opens
):
    account = registered(api)
    if confirmed:
        token = mailed_token(api, account.email, "/verify-email")
        assert api.client().post("/auth/email-verification", json={"token": token}).status_code == 204
    phone = phone_of(session_of(api, account.user_id, account.email))
    api.client().post("/auth/password-reset", json={"email": account.email})
    body = {"token": mailed_token(api, account.email, "/reset-password"), "new_password": OTHER_PASSWORD}
    assert api.client().post("/auth/password-reset/confirm", json=body).status_code == 204
    assert (sign_in(api, phone).status_code == 200) == opens
    with psycopg.connect(api.database.admin_conninfo) as connection:
        kept = connection.execute("SELECT FROM ops.passkeys WHERE user_id = %s", (account.user_id,)).rowcount
    assert kept == opens


# -- attacks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://site.example.org.attacker.example"},
        {"origin": "http://site.example.org"},
        {"origin": "https://site.example.org:8443"},
        {"rp_id": "attacker.example"},
        {"kind": "webauthn.get"},
        {"flags": USER_PRESENT},
        {"flags": 0},
        {"challenge": encoded(b"c" * 32)},
        {"challenge": "!"},
        {"challenge": 5},
    ],
    ids=str,
)
def test_a_registration_with_something_wrong_is_refused(person, wrong):
    assert refusal(register(person, Authenticator(), **wrong)) == REFUSED
    assert listed(person) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://attacker.example"},
        {"origin": "http://site.example.org"},
        {"rp_id": "attacker.example"},
        {"kind": "webauthn.create"},
        {"flags": USER_PRESENT},
        {"challenge": encoded(b"c" * 32)},
        {"signature": b"\x30\x06\x02\x01\x01\x02\x01\x01"},
        {"signature": b"x"},
        {"user_handle": b"user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"},
        {"user_handle": b"x"},
    ],
    ids=str,
)
def test_a_sign_in_with_something_wrong_is_refused(api, phone, wrong):
    failures = api.services.sign_in.failures._metrics.failed._value
    before = failures.get()
    assert refusal(sign_in(api, phone, **wrong)) == SIGN_IN_REFUSED
    assert failures.get() == before + 1
    assert sign_in(api, phone).status_code == 200


def test_a_challenge_is_answered_once(api, phone):
    anybody = api.client()
    credential = phone.get(options(anybody, "/auth/passkey-options"))
    assert anybody.post("/auth/passkeys", json={"credential": credential}).status_code == 200
    assert refusal(anybody.post("/auth/passkeys", json={"credential": credential})) == SIGN_IN_REFUSED


def test_of_many_who_send_the_same_answer_at_once_one_is_let_in(api, phone):
    credential = phone.get(options(api.client(), "/auth/passkey-options"))
    request = {"method": "POST", "url": "/auth/passkeys", "json": {"credential": credential}}
    answers = api.at_once([request] * 8)
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


def test_a_challenge_grows_old(own_api, clock):
    person = fresh_person(own_api)
    phone = Authenticator()
    assert register(person, phone).status_code == 201
    anybody = own_api.client()
    credential = phone.get(options(anybody, "/auth/passkey-options"))
    late = Authenticator().create(options(person.http))
    clock.advance(301)
    assert refusal(anybody.post("/auth/passkeys", json={"credential": credential})) == SIGN_IN_REFUSED
    answer = person.http.post("/users/me/passkeys", json={"name": "x", "credential": late})
    assert refusal(answer) == REFUSED


def test_the_challenge_of_another_person_registers_nothing(api, person):
    other = fresh_person(api)
    credential = Authenticator().create(options(other.http))
    answer = person.http.post("/users/me/passkeys", json={"name": "x", "credential": credential})
    assert refusal(answer) == REFUSED
    # It is still the other's to answer.
    answer = other.http.post("/users/me/passkeys", json={"name": "x", "credential": credential})
    assert answer.status_code == 201


def test_a_challenge_for_registering_signs_nobody_in_and_the_other_way_round(api, person, phone):
    credential = phone.get(options(person.http))
    assert refusal(api.client().post("/auth/passkeys", json={"credential": credential})) == SIGN_IN_REFUSED
    for_sign_in = {**options(person.http), **options(api.client(), "/auth/passkey-options")}
    credential = Authenticator().create(for_sign_in)
    answer = person.http.post("/users/me/passkeys", json={"name": "x", "credential": credential})
    assert refusal(answer) == REFUSED


def test_the_key_of_another_account_opens_neither(api, person, phone):
    other, key = fresh_person(api), Authenticator()
    assert register(other, key).status_code == 201
    mine, theirs = phone.passkeys[0], key.passkeys[0]
    # My signature, under the other's credential and name.
    mine.credential_id, mine.user_handle = theirs.credential_id, theirs.user_handle
    assert refusal(sign_in(api, phone)) == SIGN_IN_REFUSED
    # Their own, under my name.
    assert refusal(sign_in(api, key, user_handle=person.user_id.encode())) == SIGN_IN_REFUSED
    assert sign_in(api, key).status_code == 200


def test_a_credential_id_that_is_taken_is_not_given_to_somebody_else(api, phone):
    attacker = fresh_person(api)
    answer = register(attacker, Authenticator(), credential_id=phone.passkeys[0].credential_id)
    assert refusal(answer) == (409, "passkey-taken")
    assert sign_in(api, phone).status_code == 200


def test_a_counter_that_goes_back_is_refused_and_reported(api, person, phone):
    assert sign_in(api, phone, count=10).status_code == 200
    with capture_logs() as logs:
        assert refusal(sign_in(api, phone, count=10)) == SIGN_IN_REFUSED
        assert refusal(sign_in(api, phone, count=3)) == SIGN_IN_REFUSED
        assert refusal(sign_in(api, phone, count=0)) == SIGN_IN_REFUSED
    reported = [entry for entry in logs if entry["event"] == "a passkey may have been copied"]
    assert [entry["sign_count"] for entry in reported] == [10, 3, 0]
    assert {entry["sign_count_before"] for entry in reported} == {10}
    assert listed(person)[0]["suspected_copy_at"] is not None


def test_nobody_without_the_key_makes_a_passkey_suspected(api, person, phone):
    assert sign_in(api, phone, count=10).status_code == 200
    assert refusal(sign_in(api, phone, count=3, signature=b"x")) == SIGN_IN_REFUSED
    assert listed(person)[0]["suspected_copy_at"] is None


def test_a_passkey_without_a_counter_signs_in_again_and_again(api, person):
    synced = Authenticator(counts=False)
    assert register(person, synced).status_code == 201
    assert [sign_in(api, synced).status_code for _ in range(3)] == [200, 200, 200]
    assert listed(person)[0]["suspected_copy_at"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"attestationObject": "oA"},
        {"attestationObject": encoded(b"\xff" * 40)},
        {"attestationObject": encoded(b"\xa3cfmtdnonegattStmt\xa0hauthDataC\x00\x00\x00")},
        {"attestationObject": encoded(b"\x9f" * 20_000)},
        {"clientDataJSON": encoded(b"[]")},
        {"clientDataJSON": encoded(b"{")},
        {"clientDataJSON": encoded(b"[" * 3_000)},
        {"clientDataJSON": encoded(b"\xff\xfe")},
    ],
    ids=lambda change: str(change)[:60],
)
def test_what_no_authenticator_says_is_refused(person, change):
    credential = Authenticator().create(options(person.http))
    credential["response"].update(change)
    answer = person.http.post("/users/me/passkeys", json={"name": "x", "credential": credential})
    assert refusal(answer) == REFUSED


def certificate_of_an_unknown_version():
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    version = bytes.fromhex("a003020102")
    assert version in made
    return made.replace(version, bytes.fromhex("a003020107"), 1)


def test_an_attestation_that_the_libraries_stumble_over_is_refused(person):
    certificate = certificate_of_an_unknown_version()
    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_certificate(certificate)
    credential = Authenticator().create(options(person.http))
    attestation = cbor2.loads(decoded(credential["response"]["attestationObject"]))
    attestation |= {"fmt": "packed", "attStmt": {"alg": -7, "sig": b"x", "x5c": [certificate]}}
    credential["response"]["attestationObject"] = encoded(cbor2.dumps(attestation))
    with capture_logs() as logs:
        answer = person.http.post("/users/me/passkeys", json={"name": "x", "credential": credential})
    assert refusal(answer) == REFUSED
    [reason] = [entry["reason"] for entry in logs if entry["event"] == "passkey refused"]
    assert reason.startswith("InvalidVersion")
    assert listed(person) == []


@pytest.mark.parametrize("attested", [b"another id", b"i" * 1_023, b"i" * 1_024], ids=len)
def test_an_id_that_is_not_the_authenticator_s_or_too_long_is_refused(person, attested):
    credential = Authenticator().create(options(person.http), credential_id=attested)
    credential["id"] = credential["rawId"] = encoded(b"the id that is told")
    answer = person.http.post("/users/me/passkeys", json={"name": "x", "credential": credential})
    assert refusal(answer) == REFUSED
    assert listed(person) == []


def test_the_longest_id_is_registered_and_opens_the_account(api, person):
    phone = Authenticator()
    assert register(person, phone, credential_id=b"i" * 1_023).status_code == 201
    assert sign_in(api, phone).status_code == 200


def test_a_weak_algorithm_is_not_registered(person):
    authenticator = Authenticator()
    cose = authenticator._cose
    authenticator._cose = lambda key: {**cose(key), 3: -65535}  # RSA with SHA-1
    assert refusal(register(person, authenticator)) == REFUSED


def test_unknown_fields_are_refused(person):
    credential = {**Authenticator().create(options(person.http)), "roles": ["teacher"]}
    answer = person.http.post("/users/me/passkeys", json={"name": "x", "credential": credential})
    assert answer.status_code == 422
