"""Sign-ins: seen, ended, and ended everywhere; refresh tokens that are used twice."""

import pytest

from tests.support.accounts import opens, refresh, registered, tokens
from tests.support.api import bearer, eventually, refusal, running_api
from tests.support.postgres import run_folder

# A second, and what a busy machine adds: how often processes look is tested by itself.
WITHIN_A_SECOND = {"within_s": 5.0, "every_s": 0.02}


@pytest.fixture
def account(api):
    return registered(api)


def sessions(api, access_token):
    answer = api.client().get("/auth/sessions", headers=bearer(access_token))
    assert answer.status_code == 200, answer.text
    return answer.json()["sessions"]


def end(api, access_token, session_id):
    return api.client().delete(f"/auth/sessions/{session_id}", headers=bearer(access_token))


def test_a_person_sees_where_they_are_signed_in(api, account):
    tokens(api, account, headers={"User-Agent": "A telephone"})
    here = tokens(api, account, headers={"User-Agent": "A computer"})
    found = sessions(api, here["access_token"])
    assert [(each["user_agent"], each["current"]) for each in found] == [
        ("A computer", True),
        ("A telephone", False),
    ]
    assert {each["address"] for each in found} == {"127.0.0.1"}
    assert all(each["started_at"] <= each["last_used_at"] < each["expires_at"] for each in found)


def test_behind_a_proxy_of_ours_a_session_says_whence_the_proxy_was_asked(database):
    limits = {"trusted_proxies": ("127.0.0.0/8",), "known_networks": ("203.0.113.0/24",)}
    with run_folder("auth") as folder, running_api(database, folder, role="api", limits=limits) as api:
        account = registered(api)
        for claimed in ("198.51.100.7", "6.6.6.6, 198.51.100.7", "203.0.113.7", "2001:db8::7", "nonsense"):
            here = tokens(api, account, headers={"X-Forwarded-For": claimed})["access_token"]
        addresses = [each["address"] for each in sessions(api, here)]
        assert addresses == ["127.0.0.1", "2001:db8::/64", "203.0.113.0/24", "198.51.100.7", "198.51.100.7"]


def test_a_session_that_is_used_says_when(api, account):
    first = tokens(api, account)
    [before] = sessions(api, first["access_token"])
    refresh(api, first["refresh_token"])
    [after] = sessions(api, first["access_token"])
    assert after["session_id"] == before["session_id"]
    assert after["last_used_at"] > before["last_used_at"]


def test_an_ended_session_is_refused_at_once_here_and_within_a_second_elsewhere(api, elsewhere, account):
    lost, kept = tokens(api, account), tokens(api, account)
    assert opens(elsewhere, lost["access_token"])
    [lost_id] = [each["session_id"] for each in sessions(api, kept["access_token"]) if not each["current"]]
    assert end(api, kept["access_token"], lost_id).status_code == 204
    assert not opens(api, lost["access_token"])
    assert refusal(refresh(elsewhere, lost["refresh_token"])) == (401, "refresh-refused")
    eventually(lambda: not opens(elsewhere, lost["access_token"]), **WITHIN_A_SECOND)
    assert opens(api, kept["access_token"])
    assert opens(elsewhere, kept["access_token"])


def test_a_process_that_begins_later_believes_no_ended_session_either(
    api, account, auth_database, auth_folder
):
    ended = tokens(api, account)["access_token"]
    api.client(ended).post("/auth/logout")
    with running_api(auth_database, auth_folder, role="api") as later:
        assert not opens(later, ended)


def test_the_session_of_somebody_else_does_not_exist(api, account):
    theirs = tokens(api, registered(api))["access_token"]
    [their_session] = sessions(api, theirs)
    mine = tokens(api, account)["access_token"]
    for session_id in (their_session["session_id"], "no-such-session", "%00", "'; DROP TABLE ops.outbox"):
        assert refusal(end(api, mine, session_id)) == (404, "session-not-found")
    assert opens(api, theirs)


def test_signing_out_ends_the_access_token_and_the_refresh_token(api, account):
    given = tokens(api, account)
    other = tokens(api, account)
    assert api.client(given["access_token"]).post("/auth/logout").status_code == 204
    assert not opens(api, given["access_token"])
    assert refusal(refresh(api, given["refresh_token"])) == (401, "refresh-refused")
    assert opens(api, other["access_token"])


def test_signing_out_everywhere_ends_every_session_and_a_new_one_may_begin(api, elsewhere, account):
    given = [tokens(each, account) for each in (api, elsewhere, api)]
    assert api.client(given[0]["access_token"]).delete("/auth/sessions").status_code == 204
    for each in given:
        assert not opens(api, each["access_token"])
        assert refresh(api, each["refresh_token"]).status_code == 401
        eventually(lambda each=each: not opens(elsewhere, each["access_token"]), **WITHIN_A_SECOND)
    again = tokens(api, account)["access_token"]
    assert [each["current"] for each in sessions(api, again)] == [True]


def test_a_service_signs_out_too(api):
    client_id, _ = api.school().service(client_secret="only the program knows")
    asked = {"client_id": client_id, "client_secret": "only the program knows"}
    answer = api.client().post("/auth/token", json={"grant_type": "client_credentials", **asked})
    token = answer.json()["access_token"]
    assert opens(api, token)
    assert api.client(token).post("/auth/logout").status_code == 204
    assert not opens(api, token)


def test_a_refresh_token_that_is_used_again_later_ends_its_session(api, elsewhere, account):
    first = tokens(api, account)
    second = refresh(api, first["refresh_token"]).json()
    third = refresh(api, second["refresh_token"]).json()
    other = tokens(api, account)
    assert refusal(refresh(api, first["refresh_token"])) == (401, "refresh-refused")
    for each in (first, second, third):
        assert not opens(api, each["access_token"])
        assert refresh(api, each["refresh_token"]).status_code == 401
        eventually(lambda each=each: not opens(elsewhere, each["access_token"]), **WITHIN_A_SECOND)
    assert opens(api, other["access_token"])


def test_the_immediate_parent_gets_the_same_successor_within_the_grace_and_no_more_after_it(own_api):
    account = registered(own_api)
    first = tokens(own_api, account)["refresh_token"]
    second = refresh(own_api, first).json()["refresh_token"]
    own_api.clock.advance(own_api.settings.auth.refresh_grace_s - 5)
    assert refresh(own_api, first).json()["refresh_token"] == second
    own_api.clock.advance(10)
    assert refusal(refresh(own_api, first)) == (401, "refresh-refused")
    assert refusal(refresh(own_api, second)) == (401, "refresh-refused")


def test_signing_out_twice_with_one_key_is_refused_the_second_time_like_the_token(api, account):
    here = api.client(tokens(api, account)["access_token"])
    named = {"Idempotency-Key": "sign-out"}
    assert here.post("/auth/logout", headers=named).status_code == 204
    assert refusal(here.post("/auth/logout", headers=named)) == (401, "invalid-token")
