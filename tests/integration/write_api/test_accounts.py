"""Register, sign in, stay signed in, change one's profile: over HTTP."""

import itertools
from datetime import timedelta

import pytest

from domain.users.account import GrantedRole
from tests.support.api import PASSWORD, bearer, refusal, running_api
from tests.support.postgres import run_folder

_numbers = itertools.count(1)


def new_email():
    return f"minji-{next(_numbers)}@example.org"


def registration(**changes):
    return {"email": new_email(), "password": PASSWORD, "display_name": "김민지", "language": "ko", **changes}


@pytest.fixture
def anybody(api):
    return api.client()


@pytest.fixture
def registered(anybody):
    body = registration()
    assert anybody.post("/auth/register", json=body).status_code == 201
    return body


def tokens_of(anybody, body):
    answer = anybody.post("/auth/login", json={"email": body["email"], "password": body["password"]})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_whoever_registers_is_a_student_of_the_default_zone(anybody):
    body = registration()
    answer = anybody.post("/auth/register", json=body)
    assert answer.status_code == 201
    account = answer.json()
    assert account["display_name"] == "김민지"
    assert account["zone_id"] == "univprep"
    assert "password" not in answer.text
    access = tokens_of(anybody, body)["access_token"]
    me = anybody.get(
        "/users/me",
        headers={**bearer(access), "Consistency-Token": answer.headers["Consistency-Token"]},
    ).json()
    assert me["roles"] == [{"role": "student", "org_id": None}]
    assert me["email"] == body["email"]


@pytest.mark.parametrize(
    "asked", [{"roles": ["teacher"]}, {"role": "sys_admin"}, {"org_id": "organization-x"}, {"origin": "x"}]
)
def test_roles_cannot_be_asked_for(anybody, asked):
    answer = anybody.post("/auth/register", json=registration(**asked))
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["code"] == "extra_forbidden"
    assert error["pointer"] == f"#/{next(iter(asked))}"


def test_country_birth_date_and_zone_are_what_the_person_says(api, anybody):
    body = registration(country="KR", birth_date="2012-02-29", zone_id="univprep", language="en")
    answer = anybody.post("/auth/register", json=body)
    assert answer.status_code == 201
    assert "2012" not in answer.text
    registered = api.events(answer.json()["user_id"])[0]
    assert (registered.country, registered.birth_date) == ("KR", "2012-02-29")
    assert (registered.zone_id, registered.language) == ("univprep", "en")
    assert {("country",), ("birth_date",)} <= set(registered.type_.personal)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"country": "XX"}, "unknown_country"),
        ({"country": "kr"}, "unknown_country"),
        ({"country": ""}, "unknown_country"),
        ({"birth_date": "2011-02-29"}, "no_such_day"),
        ({"birth_date": "1899-12-31"}, "string_pattern_mismatch"),
        ({"birth_date": "2012-2-9"}, "string_pattern_mismatch"),
        ({"birth_date": "2012-02-09T00:00:00Z"}, "string_pattern_mismatch"),
    ],
)
def test_a_country_or_a_day_that_does_not_exist_is_refused(anybody, said, code):
    answer = anybody.post("/auth/register", json=registration(**said))
    assert refusal(answer) == (422, "invalid-request")
    assert [error["code"] for error in answer.json()["errors"]] == [code]


def test_nobody_registers_before_they_are_born_wherever_it_is_tomorrow_already(api, anybody):
    today = api.clock().date()
    for days, outcome in ((1, 201), (2, 422)):
        born = (today + timedelta(days=days)).isoformat()
        answer = anybody.post("/auth/register", json=registration(birth_date=born))
        assert answer.status_code == outcome
    assert refusal(answer) == (422, "birth-date-in-the-future")


def test_an_address_has_one_account_whatever_its_case(anybody, registered):
    shouted = registration(email=registered["email"].upper())
    answer = anybody.post("/auth/register", json=shouted)
    assert refusal(answer) == (409, "email-taken")


def test_a_double_click_opens_one_account(api):
    body = registration()
    answers = api.at_once([{"method": "POST", "url": "/auth/register", "json": body}] * 8)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    [won] = [answer.json() for answer in answers if answer.status_code == 201]
    assert [type(event).__name__ for event in api.events(won["user_id"])] == ["UserRegistered", "RoleGranted"]
    tokens_of(api.client(), body)


@pytest.mark.parametrize("password", ["abc123", "password123", "a" * 20, "with\x00nul in it"])
def test_a_weak_password_is_refused_with_its_reason_and_never_repeated(anybody, password):
    answer = anybody.post("/auth/register", json=registration(password=password))
    assert refusal(answer) == (422, "weak-password")
    assert answer.json()["reason"]
    assert password not in answer.text


@pytest.mark.parametrize("email", ["", "nobody", "a@b", "a b@example.org", "a@example.org\n", "ü@b.org"])
def test_what_is_no_address_is_refused(anybody, email):
    answer = anybody.post("/auth/register", json=registration(email=email))
    assert refusal(answer) == (422, "invalid-request")


def test_the_log_holds_neither_the_password_nor_its_hash(api, anybody):
    body = registration(password="correct horse battery staple")
    user_id = anybody.post("/auth/register", json=body).json()["user_id"]
    told = repr(api.recorded(user_id))
    assert "correct horse" not in told
    assert "argon2" not in told


def test_an_unknown_address_and_a_wrong_password_get_the_same_answer(anybody, registered):
    wrong = anybody.post("/auth/login", json={"email": registered["email"], "password": "not the one"})
    unknown = anybody.post("/auth/login", json={"email": new_email(), "password": PASSWORD})
    changing = {"request_id"}

    def seen(answer):
        return {name: value for name, value in answer.json().items() if name not in changing}

    assert refusal(wrong) == (401, "sign-in-refused")
    assert (unknown.status_code, seen(unknown)) == (401, seen(wrong))
    assert "WWW-Authenticate" in wrong.headers


def test_signing_in_takes_any_spelling_of_the_address(anybody, registered):
    tokens_of(anybody, {**registered, "email": registered["email"].title()})


def test_a_refresh_token_is_exchanged_for_new_tokens_that_open_the_same_account(anybody, registered):
    first = tokens_of(anybody, registered)
    second = anybody.post("/auth/refresh", json={"refresh_token": first["refresh_token"]}).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert anybody.get("/users/me", headers=bearer(second["access_token"])).status_code == 200


def test_a_lost_refresh_answer_can_be_fetched_again_and_an_old_token_ends_the_session(anybody, registered):
    first = tokens_of(anybody, registered)["refresh_token"]

    def refresh(token):
        return anybody.post("/auth/refresh", json={"refresh_token": token})

    second = refresh(first).json()["refresh_token"]
    assert refresh(first).json()["refresh_token"] == second
    third = refresh(second).json()["refresh_token"]
    stolen = refresh(first)
    assert refusal(stolen) == (401, "refresh-refused")
    assert refresh(third).status_code == 401


def test_a_refresh_token_of_nobody_is_refused(anybody):
    answer = anybody.post("/auth/refresh", json={"refresh_token": "A" * 43})
    assert refusal(answer) == (401, "refresh-refused")


def test_an_access_token_ends_and_a_refresh_token_opens_the_account_again(own_api):
    anybody = own_api.client()
    body = registration()
    anybody.post("/auth/register", json=body)
    tokens = tokens_of(anybody, body)
    own_api.clock.advance(tokens["expires_in"] + 60)
    late = anybody.get("/users/me", headers=bearer(tokens["access_token"]))
    assert refusal(late) == (401, "invalid-token")
    fresh = anybody.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    assert anybody.get("/users/me", headers=bearer(fresh["access_token"])).status_code == 200


def test_a_service_signs_in_with_its_client_credentials(api, school, anybody):
    client_id, _ = school.service(client_secret="only the program knows")
    asked = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": "only the program knows",
    }
    answer = anybody.post("/auth/token", json=asked)
    assert answer.status_code == 200
    assert answer.json()["refresh_token"] is None
    access = answer.json()["access_token"]
    assert api.client(access).post("/item-banks", json={"name": "Of a program"}).status_code == 201
    wrong = anybody.post("/auth/token", json={**asked, "client_secret": "something else"})
    unknown = anybody.post("/auth/token", json={**asked, "client_id": "client-of-nobody"})
    assert refusal(wrong) == (401, "sign-in-refused")
    assert refusal(unknown) == (401, "sign-in-refused")


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer nonsense", "Bearer a.b.c", "Basic dTpw", "Bearer " + "x" * 5000],
)
def test_without_a_valid_token_nothing_opens(api, authorization):
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = api.client().put("/users/me", json={}, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_profile_is_changed_with_the_entity_tag_that_was_read(api):
    person = api.person(GrantedRole("student"))
    changed = person.http.put("/users/me", json={"display_name": "이서연"})
    assert changed.status_code == 200
    assert changed.json()["display_name"] == "이서연"
    assert changed.json()["language"] == "ko"
    etag = changed.headers["ETag"]
    again = person.http.put("/users/me", json={"language": "en"}, headers={"If-Match": etag})
    assert (again.status_code, again.json()["language"]) == (200, "en")
    stale = person.http.put("/users/me", json={"language": "ja"}, headers={"If-Match": etag})
    assert refusal(stale) == (412, "stale-version")
    assert stale.json()["version"] == again.json()["version"]
    anything = person.http.put("/users/me", json={"language": "ja"}, headers={"If-Match": "*"})
    assert (anything.status_code, anything.json()["language"]) == (200, "ja")


@pytest.mark.parametrize("tag", ["nonsense", 'W/"1"', '"0"', '"1", "2"', '"99999999999999999999999"'])
def test_a_tag_that_is_not_ours_is_refused(school, tag):
    answer = school.teacher.http.put("/users/me", json={}, headers={"If-Match": tag})
    assert refusal(answer) == (422, "bad-entity-tag")


def test_a_service_has_no_profile(school):
    _, service = school.service()
    answer = service.http.put("/users/me", json={"display_name": "A program"})
    assert refusal(answer) == (404, "user-not-found")


def test_more_sign_ins_than_can_wait_are_told_to_come_back(database):
    auth = {"password_hashes_in_parallel": 1, "password_hashes_waiting": 0}
    with run_folder("api") as folder, running_api(database, folder, auth=auth) as api:
        asked = {"method": "POST", "url": "/auth/login"}
        bodies = [{"email": new_email(), "password": PASSWORD} for _ in range(16)]
        answers = api.at_once([{**asked, "json": body} for body in bodies])
    statuses = {answer.status_code for answer in answers}
    assert statuses == {401, 503}
    busy = next(answer for answer in answers if answer.status_code == 503)
    assert refusal(busy) == (503, "sign-in-busy")
    assert int(busy.headers["Retry-After"]) >= 1


def test_one_refresh_token_sent_32_times_at_once_has_one_successor(api, anybody, registered):
    token = tokens_of(anybody, registered)["refresh_token"]
    asked = {"method": "POST", "url": "/auth/refresh", "json": {"refresh_token": token}}
    answers = api.at_once([asked] * 32)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
