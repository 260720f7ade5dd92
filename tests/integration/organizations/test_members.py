"""Members of an organisation over HTTP: who is one, who makes somebody one, and what losing it means."""

import pytest

from domain.users.account import GrantedRole
from domain.users.events import RoleGranted, RoleLapsed
from tests.support.api import bearer, refusal
from tests.support.offices import after, an_office, somebody

NOBODY = "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"


@pytest.fixture(scope="module")
def root(api):
    return somebody(api, GrantedRole("sys_admin")).http


def test_a_system_administrator_founds_an_organisation_in_any_zone(root):
    founded = root.post("/organizations", json={"name": "한빛고등학교", "zone_id": "kzone"})
    assert founded.status_code == 201
    shown = root.get(f"/organizations/{founded.json()['org_id']}", headers=after(founded))
    assert shown.json()["name"] == "한빛고등학교"
    assert shown.json()["zone_id"] == "kzone"
    assert shown.headers["ETag"] == founded.headers["ETag"] == '"1"'


def test_an_administrator_of_a_zone_founds_in_that_zone_alone(api):
    keeper = somebody(api, GrantedRole("zone_admin")).http
    here = keeper.post("/organizations", json={"name": "Here", "zone_id": "univprep"})
    assert here.status_code == 201
    there = keeper.post("/organizations", json={"name": "There", "zone_id": "kzone"})
    assert refusal(there) == (403, "zone-not-yours")


def test_a_teacher_or_an_organisations_own_administrator_founds_nothing(office):
    for who in (office.school.teacher, office.admin):
        answer = who.http.post("/organizations", json={"name": "Mine", "zone_id": "univprep"})
        assert refusal(answer) == (403, "role-required")


def test_its_administrator_renames_it_and_overwrites_nobody(office):
    http, url = office.admin.http, office.url
    renamed = http.put(url, json={"name": "새 이름"}, headers={"If-Match": '"1"'})
    assert renamed.status_code == 200
    assert renamed.json()["version"] == 2
    late = http.put(url, json={"name": "Another"}, headers={"If-Match": '"1"'})
    assert refusal(late) == (412, "stale-version")
    assert http.get(url, headers=after(renamed)).json()["name"] == "새 이름"


def test_members_see_name_and_zone_its_administration_also_how_many_there_are(office):
    teacher = office.member("teacher")
    class_id = office.open_class()
    seen = office.put_into(class_id, "teachers", teacher.user_id)
    for_teacher = teacher.http.get(office.url, headers=after(seen)).json()
    assert for_teacher["zone_id"] == "univprep"
    assert (for_teacher["members"], for_teacher["classes"]) == (None, None)
    for_admin = office.admin.http.get(office.url, headers=after(seen)).json()
    assert (for_admin["members"], for_admin["classes"]) == (3, 1)


def test_nobody_finds_an_organisation_that_is_not_theirs(api, office):
    elsewhere = an_office(api)
    in_other_zone = an_office(api, "kzone")
    for stranger in (elsewhere.admin, elsewhere.member("teacher"), in_other_zone.admin):
        http = stranger.http
        assert refusal(http.get(office.url)) == (404, "organization-not-found")
        assert refusal(http.get(f"{office.url}/classes")) == (404, "organization-not-found")
    for admin in (elsewhere.admin, in_other_zone.admin):
        http = admin.http
        for answer in (
            http.get(f"{office.url}/members"),
            http.get(f"{office.url}/invitations"),
            http.put(office.url, json={"name": "Taken over"}),
            http.post(f"{office.url}/members", json={"user_id": admin.user_id, "role": "org_admin"}),
            http.post(f"{office.url}/invitations", json={"email": "me@example.org", "role": "org_admin"}),
            http.delete(f"{office.url}/members/{office.school.teacher.user_id}"),
            http.post(f"{office.url}/classes", json={"name": "Mine"}),
        ):
            assert refusal(answer) == (404, "organization-not-found"), answer.request.url


def test_a_member_is_given_another_role_and_everybody_is_listed_once(office):
    teacher = office.member("teacher")
    given = office.admin.http.post(
        f"{office.url}/members", json={"user_id": teacher.user_id, "role": "tutor"}
    )
    assert given.status_code == 201
    assert given.json()["roles"] == ["teacher", "tutor"]
    again = office.admin.http.post(
        f"{office.url}/members", json={"user_id": teacher.user_id, "role": "tutor"}
    )
    assert (again.status_code, again.json()["version"]) == (201, given.json()["version"])

    listed = office.admin.http.get(f"{office.url}/members", headers=after(given)).json()["items"]
    assert [each["user_id"] for each in listed] == sorted(
        [office.school.teacher.user_id, office.admin.user_id, teacher.user_id]
    )
    [row] = [each for each in listed if each["user_id"] == teacher.user_id]
    assert (row["roles"], row["display_name"]) == (["teacher", "tutor"], "민지")


def test_members_are_listed_in_pages(office):
    students = office.school.students(5)
    http, seen, cursor = office.admin.http, [], None
    grown = http.put(office.url, json={"name": "Grown"})
    while True:
        page = http.get(
            f"{office.url}/members",
            params={"limit": 2, **({"cursor": cursor} if cursor else {})},
            headers=after(grown),
        ).json()
        seen += [each["user_id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(seen)
    assert {each.user_id for each in students} < set(seen)
    assert len(seen) == len(set(seen)) == 7


def test_whom_the_organisation_enrolled_may_be_made_a_member_again(office):
    student = office.school.student()
    url = f"{office.url}/members/{student.user_id}"
    assert office.admin.http.delete(url).status_code == 204
    back = office.admin.http.post(
        f"{office.url}/members", json={"user_id": student.user_id, "role": "student"}
    )
    assert back.status_code == 201
    assert back.json()["roles"] == ["student"]


def test_strangers_are_made_members_by_nobody_but_the_system(api, office, root):
    stranger = somebody(api, GrantedRole("student"))
    body = {"user_id": stranger.user_id, "role": "teacher"}
    assert refusal(office.admin.http.post(f"{office.url}/members", json=body)) == (404, "user-not-found")
    nobody = office.admin.http.post(f"{office.url}/members", json={**body, "user_id": NOBODY})
    assert refusal(nobody) == (404, "user-not-found")
    assert root.post(f"{office.url}/members", json=body).status_code == 201
    assert RoleGranted in [type(each) for each in api.events(stranger.user_id)]


def test_nobody_is_made_a_member_in_another_zone(api, office, root):
    stranger = somebody(api, GrantedRole("student"), zone_id="kzone")
    answer = root.post(f"{office.url}/members", json={"user_id": stranger.user_id, "role": "teacher"})
    assert refusal(answer) == (409, "organization-of-another-zone")


@pytest.mark.parametrize("role", ["sys_admin", "zone_admin", "service", "parent", "headmaster"])
def test_a_role_that_no_member_has_is_given_to_nobody(office, role):
    body = {"user_id": office.school.teacher.user_id, "role": role}
    assert refusal(office.admin.http.post(f"{office.url}/members", json=body))[0] == 422


def test_nobody_changes_their_own_membership(office):
    own = {"user_id": office.admin.user_id, "role": "teacher"}
    assert refusal(office.admin.http.post(f"{office.url}/members", json=own)) == (403, "own-roles")
    gone = office.admin.http.delete(f"{office.url}/members/{office.admin.user_id}")
    assert refusal(gone) == (403, "own-roles")


def test_a_teacher_sees_no_list_of_members_and_removes_nobody(office):
    http = office.school.teacher.http
    assert refusal(http.get(f"{office.url}/members")) == (403, "role-required")
    answer = http.delete(f"{office.url}/members/{office.admin.user_id}")
    assert refusal(answer) == (403, "role-required")


def test_whoever_is_removed_finds_nothing_at_the_very_next_request(api, office):
    teacher, student = office.member("teacher", "tutor"), office.member("student")
    class_id = office.open_class()
    office.put_into(class_id, "students", student.user_id)
    placed = office.put_into(class_id, "teachers", teacher.user_id)
    people = f"{office.url}/classes/{class_id}/people"
    assert len(teacher.http.get(people, headers=after(placed)).json()["items"]) == 2

    removed = office.admin.http.delete(f"{office.url}/members/{teacher.user_id}")
    assert removed.status_code == 204

    # Through a token that still names the roles: nothing refuses it but the rows.
    assert refusal(teacher.http.get(people)) == (404, "class-not-found")
    assert refusal(teacher.http.get(office.url)) == (404, "organization-not-found")
    lapsed = [each.role for each in api.events(teacher.user_id) if isinstance(each, RoleLapsed)]
    assert sorted(lapsed) == ["teacher", "tutor"]
    left = office.admin.http.get(people).json()["items"]
    assert [each["user_id"] for each in left] == [student.user_id]


def test_a_token_of_before_the_removal_is_refused_and_the_next_one_has_no_role(api, office):
    teacher = api.person(GrantedRole("teacher", office.org_id))
    signed_in = api.client().post(
        "/auth/login", json={"email": teacher.email, "password": "a long enough password"}
    )
    before = api.client(signed_in.json()["access_token"])
    assert before.get("/users/me").status_code == 200
    assert office.admin.http.delete(f"{office.url}/members/{teacher.user_id}").status_code == 204
    assert refusal(before.get("/users/me"))[0] == 401
    refreshed = api.client().post("/auth/refresh", json={"refresh_token": signed_in.json()["refresh_token"]})
    assert refreshed.status_code == 200, refreshed.text
    now = api.client(refreshed.json()["access_token"])
    assert now.get("/users/me").json()["roles"] == []


def test_removing_twice_and_removing_nobody(office):
    student = office.school.student()
    url = f"{office.url}/members/{student.user_id}"
    first = office.admin.http.delete(url)
    second = office.admin.http.delete(url)
    assert (first.status_code, second.status_code) == (204, 204)
    assert first.headers["ETag"] == second.headers["ETag"]
    assert refusal(office.admin.http.delete(f"{office.url}/members/{NOBODY}")) == (404, "member-not-found")
    unheard_of = office.admin.http.delete(f"{office.url}/members/somebody")
    assert refusal(unheard_of) == (404, "member-not-found")


def test_a_member_of_another_organisation_is_not_found_by_this_one(api, office):
    other = an_office(api).member("teacher")
    answer = office.admin.http.delete(f"{office.url}/members/{other.user_id}")
    assert refusal(answer) == (404, "member-not-found")
    assert RoleLapsed not in [type(each) for each in api.events(other.user_id)]


def test_two_administrators_who_remove_the_same_member_at_once_remove_them_once(api, office):
    second = office.member("org_admin")
    teacher = office.member("teacher")
    class_id = office.open_class()
    office.put_into(class_id, "teachers", teacher.user_id)
    url = f"organizations/{office.org_id}/members/{teacher.user_id}"
    answers = api.at_once(
        [{"method": "DELETE", "url": url, "headers": bearer(who.token)} for who in (office.admin, second) * 4]
    )
    # Whoever comes when the person has nothing to do with the organisation any more finds no member.
    assert {each.status_code for each in answers} <= {204, 404}
    assert 204 in {each.status_code for each in answers}
    assert [type(each) for each in api.events(teacher.user_id)].count(RoleLapsed) == 1


def test_whose_own_role_was_taken_away_administers_nothing_with_the_old_token(office, root):
    second = office.member("org_admin")
    assert root.delete(f"{office.url}/members/{second.user_id}").status_code == 204
    # As a token of another service might: without a version, so that no revocation names it.
    answer = second.http.post(f"{office.url}/classes", json={"name": "Mine"})
    assert refusal(answer) == (404, "organization-not-found")
