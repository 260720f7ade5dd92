"""Roles over HTTP: granted, confirmed and taken away; and what a token still opens afterwards."""

import pytest

from commands.kinds import USER
from domain.users.account import GrantedRole
from domain.users.events import RoleConfirmed, RoleGranted, RoleLapsed
from infra.http.principal import RoleGrant
from tests.support.api import PASSWORD, eventually, refusal, running_api
from tests.support.exam_parts import uuid7
from tests.support.postgres import fresh_database, run_folder


@pytest.fixture(scope="module")
def api(postgres_server):
    with (
        run_folder("roles") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def root(api):
    return api.person(GrantedRole("sys_admin"))


@pytest.fixture
def person(api):
    return api.person(GrantedRole("student"))


def signed_in(api, person):
    answer = api.client().post("/auth/login", json={"email": person.email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return answer.json()


def roles_of(api, access_token):
    held = api.services.token_verifier.verify(access_token)
    return {(each.role, each.org_id) for each in held.roles}


def granted(asker, user_id, role, org_id=None):
    return asker.http.post(f"/users/{user_id}/roles", json={"role": role, "org_id": org_id})


def taken(asker, user_id, role, org_id=None, **more):
    where = {} if org_id is None else {"org_id": org_id}
    return asker.http.delete(f"/users/{user_id}/roles/{role}", params=where, **more)


def confirmed(asker, user_id, role, org_id=None):
    where = {} if org_id is None else {"org_id": org_id}
    return asker.http.post(f"/users/{user_id}/roles/{role}/confirm", params=where)


def test_a_granted_role_comes_with_the_next_refresh(api, root, person):
    tokens = signed_in(api, person)
    answer = granted(root, person.user_id, "zone_admin")
    assert answer.status_code == 201, answer.text
    assert (answer.json()["role"], answer.json()["org_id"]) == ("zone_admin", None)
    assert answer.headers["Consistency-Token"]
    assert roles_of(api, tokens["access_token"]) == {("student", None)}

    again = api.client().post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    assert roles_of(api, again["access_token"]) == {("student", None), ("zone_admin", None)}
    # Nothing was taken away, so the earlier token is as good as it was.
    assert api.client(tokens["access_token"]).get("/users/me").status_code == 200


def test_a_role_that_was_taken_away_opens_nothing_and_the_sign_in_goes_on(api, root, person):
    granted(root, person.user_id, "sys_admin")
    tokens = signed_in(api, person)
    holder = api.client(tokens["access_token"])
    assert holder.get("/roles/due").status_code == 200

    answer = taken(root, person.user_id, "sys_admin")
    assert answer.status_code == 204
    assert answer.headers["Consistency-Token"]
    assert refusal(holder.get("/roles/due"))[0] == 401

    again = api.client().post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert again.status_code == 200, again.text
    assert roles_of(api, again.json()["access_token"]) == {("student", None)}
    assert refusal(api.client(again.json()["access_token"]).get("/roles/due")) == (403, "role-required")
    assert refusal(taken(root, root.user_id, "sys_admin"))[1] == "own-roles"


def test_the_read_side_goes_by_it_as_soon_as_it_is_answered(api, root, person):
    """With a token that no list refuses: what the read side itself knows keeps its holder out."""
    school = api.school()
    bank = f"/item-banks/{school.bank()}"
    read = api.client(api.token(person.user_id, RoleGrant("teacher", school.org_id)))
    for _ in range(20):
        assert granted(root, person.user_id, "teacher", school.org_id).status_code == 201
        eventually(lambda: read.get(bank).status_code == 200)
        assert taken(root, person.user_id, "teacher", school.org_id).status_code == 204
        assert refusal(read.get(bank)) == (404, "item-bank-not-found")


def test_taking_away_and_granting_again_and_again_ends_as_it_was_ordered_last(api, root, person):
    for _ in range(3):
        assert granted(root, person.user_id, "zone_admin").status_code == 201
        assert taken(root, person.user_id, "zone_admin").status_code == 204
    assert granted(root, person.user_id, "zone_admin").status_code == 201
    recorded = [type(each) for each in api.events(person.user_id)[2:]]
    assert recorded == [RoleGranted, RoleLapsed] * 3 + [RoleGranted]


def test_the_same_request_twice_is_one_event(api, root, person):
    key = {"Idempotency-Key": uuid7(0x1D)}
    for _ in range(2):
        answer = root.http.post(f"/users/{person.user_id}/roles", json={"role": "zone_admin"}, headers=key)
        assert answer.status_code == 201
    assert len([each for each in api.events(person.user_id) if isinstance(each, RoleGranted)]) == 2
    for _ in range(2):
        assert (
            taken(root, person.user_id, "zone_admin", headers={"Idempotency-Key": uuid7(0x1E)}).status_code
            == 204
        )
    assert len([each for each in api.events(person.user_id) if isinstance(each, RoleLapsed)]) == 1


def test_an_administrator_of_an_organisation_gives_and_takes_roles_there(api):
    school, other = api.school(), api.school()
    admin, teacher = school.admin(), school.teacher
    assert granted(admin, teacher.user_id, "tutor", school.org_id).status_code == 201
    assert taken(admin, teacher.user_id, "teacher", school.org_id).status_code == 204
    state = api.run(api.write.streams.read(USER, teacher.user_id)).state
    assert {(each.role, each.org_id) for each in state.roles} == {("tutor", school.org_id)}

    # Nobody of another school is even known to them.
    elsewhere = other.teacher.user_id
    assert refusal(granted(admin, elsewhere, "teacher", school.org_id)) == (404, "user-not-found")
    assert refusal(taken(admin, elsewhere, "teacher", other.org_id)) == (403, "role-not-yours-to-change")
    assert refusal(granted(admin, teacher.user_id, "sys_admin")) == (403, "role-not-yours-to-change")
    assert refusal(granted(admin, admin.user_id, "teacher", school.org_id)) == (403, "own-roles")


@pytest.mark.parametrize("role", ["student", "teacher", "tutor", "parent", "zone_admin", "service"])
def test_whoever_administers_nothing_changes_no_roles(api, person, role):
    school = api.school()
    org_id = None if role in {"student", "parent", "zone_admin"} else school.org_id
    asker = api.client(api.token(person.user_id, RoleGrant(role, org_id)))
    path = f"/users/{school.teacher.user_id}/roles"
    assert refusal(asker.post(path, json={"role": "teacher", "org_id": school.org_id}))[0] == 403
    assert refusal(asker.delete(f"{path}/teacher"))[0] == 403
    assert refusal(asker.post(f"{path}/teacher/confirm"))[0] == 403
    assert api.client().post(path, json={"role": "teacher"}).status_code == 401


def test_a_token_that_says_more_than_its_holder_holds_changes_nothing(api, person):
    liar = api.client(api.token(person.user_id, RoleGrant("sys_admin")))
    answer = liar.post(f"/users/{api.school().teacher.user_id}/roles", json={"role": "sys_admin"})
    assert refusal(answer) == (403, "role-not-yours-to-change")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"role": "service"}, (422, "role-not-grantable")),
        ({"role": "zone_admin", "org_id": "SCHOOL"}, (422, "role-not-grantable")),
        ({"role": "king"}, (422, "invalid-request")),
        ({"role": "teacher", "org_id": "school"}, (422, "invalid-request")),
        ({"role": "teacher", "org_id": f"organization-{uuid7(0xABC)}"}, (404, "organization-not-found")),
        ({"role": "teacher", "org_id": "ELSEWHERE"}, (409, "organization-of-another-zone")),
    ],
)
def test_a_role_that_nobody_can_hold_there_is_refused(api, root, person, body, expected):
    places = {"SCHOOL": api.school().org_id, "ELSEWHERE": api.school(zone_id="kzone").org_id}
    body = {**body, **({"org_id": places.get(body["org_id"], body["org_id"])} if "org_id" in body else {})}
    assert refusal(root.http.post(f"/users/{person.user_id}/roles", json=body)) == expected


def test_people_and_roles_that_are_not_there_are_not_found(root, person):
    nobody = f"user-{uuid7(0xDEAD)}"
    assert refusal(granted(root, nobody, "zone_admin")) == (404, "user-not-found")
    assert refusal(taken(root, "attempt-1", "zone_admin")) == (404, "user-not-found")
    assert refusal(confirmed(root, person.user_id, "zone_admin")) == (404, "role-not-held")
    assert taken(root, person.user_id, "zone_admin").status_code == 204


def test_somebody_else_confirms_a_role(api, root, person):
    granted(root, person.user_id, "zone_admin")
    answer = confirmed(root, person.user_id, "zone_admin")
    assert answer.status_code == 200
    assert isinstance(api.events(person.user_id)[-1], RoleConfirmed)
    assert api.recorded(person.user_id)[-1].metadata.actor.id == root.user_id
    themselves = api.client(signed_in(api, person)["access_token"])
    path = f"/users/{person.user_id}/roles/zone_admin/confirm"
    assert refusal(themselves.post(path)) == (403, "role-required")


def test_a_deactivated_account_is_given_no_role(root, person):
    assert root.http.post(f"/users/{person.user_id}/deactivation", json={"reason": "left"}).status_code == 204
    assert refusal(granted(root, person.user_id, "zone_admin")) == (409, "user-deactivated")


def test_what_is_due_is_for_system_administrators(api, person):
    assert api.client().get("/roles/due").status_code == 401
    for role in ("student", "zone_admin"):
        asker = api.client(api.token(person.user_id, RoleGrant(role)))
        assert refusal(asker.get("/roles/due")) == (403, "role-required")
    liar = api.client(api.token(person.user_id, RoleGrant("sys_admin")))
    assert liar.get("/roles/due").json() == {"roles": []}


def test_an_administrator_leaves_the_system_to_somebody_else_and_a_school_deactivates_none(api, root):
    school = api.school()
    head = school.admin()
    both = api.person(GrantedRole("teacher", school.org_id), GrantedRole("sys_admin"), org_id=school.org_id)

    def deactivated(asker, user_id):
        return asker.http.post(f"/users/{user_id}/deactivation", json={"reason": "left"})

    assert refusal(deactivated(both, both.user_id)) == (403, "own-roles")
    assert refusal(deactivated(head, both.user_id)) == (403, "role-not-yours-to-change")
    assert deactivated(head, school.teacher.user_id).status_code == 204
    assert deactivated(root, both.user_id).status_code == 204
