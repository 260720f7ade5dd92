"""Guessing one person's password, from wherever it is done and whoever does it."""

import pytest

from tests.support.accounts import OTHER_PASSWORD, new_email
from tests.support.api import PASSWORD, bearer, refusal, running_api
from tests.support.postgres import fresh_database, run_folder

TRIES = 3
LIMITS = {"trusted_proxies": ("127.0.0.0/8",), "sign_ins_per_min": 0.1, "sign_in_burst": TRIES}
LIMITED = (429, "rate-limited")


@pytest.fixture(scope="module")
def api(postgres_server):
    with (
        run_folder("limits") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, limits=LIMITS) as running,
    ):
        yield running


def guess(api, email, number, password="not the one"):
    """Each from an address of its own."""
    headers = {"X-Forwarded-For": f"198.51.100.{number}"}
    return api.client().post("/auth/login", json={"email": email, "password": password}, headers=headers)


@pytest.mark.parametrize("exists", [True, False], ids=["an account", "an address that nobody has"])
def test_guesses_from_many_addresses_are_refused_after_the_burst_and_before_any_hash(api, exists):
    email = api.person().email if exists else new_email()
    hashes = api.count_hashes()
    answers = [guess(api, email, number) for number in range(TRIES + 2)]
    assert [each.status_code for each in answers] == [401] * TRIES + [429] * 2
    assert hashes() == TRIES
    refused = answers[-1]
    assert refusal(refused) == LIMITED
    assert refused.json()["violated_policies"] == ["account"]
    assert 590 <= int(refused.headers["Retry-After"]) <= 600


def test_an_address_that_is_written_otherwise_is_the_same_account(api):
    email = api.person().email
    assert [guess(api, email, number).status_code for number in range(TRIES)] == [401] * TRIES
    assert refusal(guess(api, email.upper(), 9)) == LIMITED


def test_the_right_password_is_refused_too_and_other_accounts_are_not(api):
    one, other = api.person(), api.person()
    for number in range(TRIES):
        guess(api, one.email, number)
    assert refusal(guess(api, one.email, 9, PASSWORD)) == LIMITED
    assert guess(api, other.email, 9, PASSWORD).status_code == 200


def test_whoever_holds_a_session_guesses_the_password_no_more_often(api):
    person = api.person()

    def change(token, present):
        body = {"current_password": present, "new_password": OTHER_PASSWORD}
        return api.client().put("/users/me/password", json=body, headers=bearer(token))

    tokens = [api.same_person(person) for _ in range(TRIES + 1)]
    answers = [change(token, "not the one") for token in tokens]
    assert [each.status_code for each in answers] == [403] * TRIES + [429]
    assert refusal(change(person.token, PASSWORD)) == LIMITED
    # Signing in is counted by itself: it goes on.
    assert guess(api, person.email, 9, PASSWORD).status_code == 200


def test_the_refusals_are_counted_by_the_name_of_the_limit(api):
    refused = api.app.state.rate_limits.metrics.refused.labels("account")
    before, email = refused._value.get(), new_email()
    for number in range(TRIES + 2):
        guess(api, email, number)
    assert refused._value.get() == before + 2


def test_an_account_may_be_signed_in_to_ten_times_a_minute_unless_it_is_set_otherwise(api):
    limits = type(api.settings.limits)()
    assert (limits.sign_ins_per_min, limits.sign_in_burst) == (10, 10)
