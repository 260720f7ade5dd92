"""Classes over HTTP: who opens and fills them, who sees them, and that only members are in them."""

import pytest

from commands.reactions.memberships import tend_memberships
from commands.roles import ChangeRole, end_role
from domain.classes.events import StudentEnrolled, StudentWithdrawn, TeacherWithdrawn
from domain.users.account import GrantedRole
from tests.support.api import bearer, bootstrap_context, refusal
from tests.support.offices import after, an_office, somebody

NOBODY = "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
NO_CLASS = "class-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"


def people(office, class_id, **options):
    answer = office.admin.http.get(f"{office.url}/classes/{class_id}/people", **options)
    assert answer.status_code == 200, answer.text
    return {(each["user_id"], each["part"]) for each in answer.json()["items"]}


def test_a_class_is_opened_renamed_and_closed(office):
    http = office.admin.http
    opened = http.post(f"{office.url}/classes", json={"name": "3학년 2반", "external_id": "2026-3-2"})
    assert opened.status_code == 201
    assert opened.json()["open"] is True
    url = f"{office.url}/classes/{opened.json()['class_id']}"
    renamed = http.put(url, json={"name": "3학년 3반"}, headers={"If-Match": opened.headers["ETag"]})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "3학년 3반")
    late = http.put(url, json={"name": "4"}, headers={"If-Match": opened.headers["ETag"]})
    assert refusal(late) == (412, "stale-version")
    closed = http.post(f"{url}/closure", json={"reason": "the school year is over"})
    assert (closed.status_code, closed.json()["open"]) == (200, False)
    again = http.post(f"{url}/closure", json={"reason": "twice"})
    assert again.json()["version"] == closed.json()["version"]
    shown = http.get(url, headers=after(closed)).json()
    assert (shown["name"], shown["external_id"]) == ("3학년 3반", "2026-3-2")
    assert shown["closed_at"] is not None
    assert refusal(http.put(url, json={"name": "5"})) == (409, "class-closed")
    late = http.post(f"{url}/students", json={"user_ids": [office.school.student().user_id]})
    assert refusal(late) == (409, "class-closed")


def test_closed_classes_are_listed_only_where_they_are_asked_for(office):
    kept, over = office.open_class(name="Kept"), office.open_class(name="Over")
    closed = office.admin.http.post(f"{office.url}/classes/{over}/closure", json={"reason": "over"})
    url = f"{office.url}/classes"
    listed = office.admin.http.get(url, headers=after(closed)).json()["items"]
    assert [each["class_id"] for each in listed] == [kept]
    every = office.admin.http.get(url, params={"with_closed": True}, headers=after(closed)).json()
    assert [each["class_id"] for each in every["items"]] == [kept, over]


def test_classes_and_their_people_come_in_pages(office):
    opened = [office.open_class(name=f"Class {n}") for n in range(3)]
    students = [each.user_id for each in office.school.students(3)]
    filled = office.put_into(opened[-1], "students", *students)

    def pages(url):
        cursor, seen = None, []
        while True:
            params = {"limit": 1} if cursor is None else {"limit": 1, "cursor": cursor}
            page = office.admin.http.get(url, params=params, headers=after(filled)).json()
            seen += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return seen

    assert [each["class_id"] for each in pages(f"{office.url}/classes")] == opened
    found = [each["user_id"] for each in pages(f"{office.url}/classes/{opened[-1]}/people")]
    assert found == sorted(students)


def test_an_external_id_names_one_class_of_an_organisation(api, office):
    first = office.open_class(external_id="3-2")
    answer = office.admin.http.post(f"{office.url}/classes", json={"name": "Same", "external_id": "3-2"})
    assert refusal(answer) == (409, "class-exists")
    assert answer.json()["class_id"] == first
    assert an_office(api).open_class(external_id="3-2") != first


def test_of_many_who_open_the_same_class_at_once_one_does(api, office):
    url = f"organizations/{office.org_id}/classes"
    body = {"name": "Same", "external_id": "at once"}
    answers = api.at_once([{"method": "POST", "url": url, "json": body}] * 8, office.admin.token)
    assert sorted(each.status_code for each in answers) == [201] + [409] * 7
    [made] = [each.json()["class_id"] for each in answers if each.status_code == 201]
    assert {each.json()["class_id"] for each in answers} == {made}


def test_members_are_put_into_a_class_and_the_rest_is_named(api, office):
    inside = office.school.students(3)
    teacher = office.member("teacher")
    elsewhere = an_office(api).school.student()
    class_id = office.open_class()
    asked = [inside[0].user_id, teacher.user_id, elsewhere.user_id, NOBODY, inside[1].user_id]
    report = office.put_into(class_id, "students", *asked, inside[0].user_id).json()
    assert [(each["user_id"], each["status"]) for each in report["people"]] == [
        (inside[0].user_id, "added"),
        (teacher.user_id, "not_a_member"),
        (elsewhere.user_id, "not_a_member"),
        (NOBODY, "not_a_member"),
        (inside[1].user_id, "added"),
    ]
    more = office.put_into(class_id, "students", inside[0].user_id, inside[2].user_id)
    assert [each["status"] for each in more.json()["people"]] == ["present", "added"]
    assert people(office, class_id, headers=after(more)) == {(each.user_id, "student") for each in inside}


def test_teachers_and_tutors_teach_and_nobody_else(office):
    class_id = office.open_class()
    teacher, tutor, student = office.member("teacher"), office.member("tutor"), office.school.student()
    asked = [teacher.user_id, tutor.user_id, student.user_id, office.admin.user_id]
    report = office.put_into(class_id, "teachers", *asked).json()
    assert [each["status"] for each in report["people"]] == ["added", "added"] + ["not_a_member"] * 2


def test_five_hundred_at_once_are_taken_and_not_one_more(office):
    class_id = office.open_class()
    students = [each.user_id for each in office.school.students(500)]
    report = office.put_into(class_id, "students", *students).json()
    assert {each["status"] for each in report["people"]} == {"added"}
    url = f"{office.url}/classes/{class_id}/students"
    answer = office.admin.http.post(url, json={"user_ids": [*students, NOBODY]})
    assert refusal(answer) == (422, "invalid-request")


def test_the_same_request_sent_again_tells_the_same(office):
    class_id, student = office.open_class(), office.school.student()
    url = f"{office.url}/classes/{class_id}/students"
    headers = {"Idempotency-Key": f"add-{student.user_id}"}
    answers = [
        office.admin.http.post(url, json={"user_ids": [student.user_id]}, headers=headers) for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert answers[1].json()["people"][0]["status"] == "added"


def test_a_program_of_the_organisation_fills_its_classes(office):
    _, program = office.school.service()
    opened = program.http.post(f"{office.url}/classes", json={"name": "By program"})
    assert opened.status_code == 201
    url = f"{office.url}/classes/{opened.json()['class_id']}/students"
    answer = program.http.post(url, json={"user_ids": [office.school.student().user_id]})
    assert answer.json()["people"][0]["status"] == "added"


def test_a_teacher_opens_no_class_and_changes_none(office):
    class_id = office.open_class()
    http = office.school.teacher.http
    for answer in (
        http.post(f"{office.url}/classes", json={"name": "Mine"}),
        http.put(f"{office.url}/classes/{class_id}", json={"name": "Mine"}),
        http.post(
            f"{office.url}/classes/{class_id}/teachers", json={"user_ids": [office.school.teacher.user_id]}
        ),
        http.delete(f"{office.url}/classes/{class_id}/teachers/{NOBODY}"),
    ):
        assert refusal(answer) == (403, "role-required")


def test_a_class_of_another_organisation_is_not_found_whatever_is_done_to_it(api, office):
    class_id = office.open_class()
    student = office.school.student()
    office.put_into(class_id, "students", student.user_id)
    for other in (an_office(api), an_office(api, "kzone")):
        # By its own organisation's path, and by the one that the class belongs to.
        for org, code in ((other.org_id, "class-not-found"), (office.org_id, "organization-not-found")):
            url, http = f"/organizations/{org}/classes/{class_id}", other.admin.http
            for answer in (
                http.put(url, json={"name": "Mine"}),
                http.post(f"{url}/closure", json={"reason": "mine"}),
                http.post(f"{url}/students", json={"user_ids": [student.user_id]}),
                http.post(f"{url}/teachers", json={"user_ids": [other.school.teacher.user_id]}),
                http.delete(f"{url}/students/{student.user_id}"),
                http.delete(f"{url}/teachers/{student.user_id}"),
            ):
                assert refusal(answer) == (404, code)
            assert refusal(http.get(url)) == (404, "class-not-found")
            assert refusal(http.get(f"{url}/people")) == (404, "class-not-found")
    assert [type(each) for each in api.events(class_id)][1:] == [StudentEnrolled]


@pytest.mark.parametrize("class_id", [NO_CLASS, "class", "organization-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"])
def test_what_is_no_class_is_not_found(office, class_id):
    url = f"{office.url}/classes/{class_id}"
    assert refusal(office.admin.http.get(url)) == (404, "class-not-found")
    assert refusal(office.admin.http.put(url, json={"name": "x"})) == (404, "class-not-found")


def test_teachers_see_their_own_classes_and_students_themselves(office):
    mine, other = office.open_class(name="Mine"), office.open_class(name="Other")
    teacher = office.member("teacher")
    one, two = office.school.students(2)
    office.put_into(mine, "teachers", teacher.user_id)
    office.put_into(other, "students", two.user_id)
    last = office.put_into(mine, "students", one.user_id, two.user_id)
    url = f"{office.url}/classes"

    taught = teacher.http.get(url, headers=after(last)).json()["items"]
    assert [(each["class_id"], each["teachers"], each["students"]) for each in taught] == [(mine, 1, 2)]
    assert refusal(teacher.http.get(f"{url}/{other}")) == (404, "class-not-found")
    assert refusal(teacher.http.get(f"{url}/{other}/people")) == (404, "class-not-found")

    attended = one.http.get(url, headers=after(last)).json()["items"]
    assert [(each["class_id"], each["students"]) for each in attended] == [(mine, None)]
    seen = one.http.get(f"{url}/{mine}/people").json()["items"]
    assert [each["user_id"] for each in seen] == [one.user_id]


def test_whoever_is_taken_out_is_seen_no_longer_at_the_very_next_read(office):
    class_id = office.open_class()
    teacher = office.member("teacher")
    students = [each.user_id for each in office.school.students(20)]
    office.put_into(class_id, "students", *students)
    filled = office.put_into(class_id, "teachers", teacher.user_id)
    url = f"{office.url}/classes/{class_id}"
    teacher.http.get(url, headers=after(filled))
    for number, user_id in enumerate(students, start=1):
        assert office.admin.http.delete(f"{url}/students/{user_id}").status_code == 204
        seen = teacher.http.get(f"{url}/people").json()["items"]
        assert user_id not in {each["user_id"] for each in seen}
        assert len(seen) == 1 + len(students) - number
    assert office.admin.http.delete(f"{url}/teachers/{teacher.user_id}").status_code == 204
    assert refusal(teacher.http.get(url)) == (404, "class-not-found")
    twice = office.admin.http.delete(f"{url}/teachers/{teacher.user_id}")
    assert twice.status_code == 204


def test_a_closed_class_shows_its_teachers_nobody_at_the_very_next_read(office):
    class_id, teacher = office.open_class(), office.member("teacher")
    office.put_into(class_id, "students", office.school.student().user_id)
    filled = office.put_into(class_id, "teachers", teacher.user_id)
    url = f"{office.url}/classes/{class_id}"
    assert len(teacher.http.get(f"{url}/people", headers=after(filled)).json()["items"]) == 2
    assert office.admin.http.post(f"{url}/closure", json={"reason": "over"}).status_code == 200
    assert refusal(teacher.http.get(f"{url}/people")) == (404, "class-not-found")


def test_whoever_is_removed_while_they_are_put_into_classes_is_in_none_in_the_end(api, office):
    """Whichever comes first: the one finds no member, or the other finds the class."""
    classes = [office.open_class(name=f"Class {n}") for n in range(4)]
    for _ in range(5):
        student = office.school.student()
        adding = [
            {
                "method": "POST",
                "url": f"organizations/{office.org_id}/classes/{class_id}/students",
                "json": {"user_ids": [student.user_id]},
                "headers": bearer(office.admin.token),
            }
            for class_id in classes
        ]
        removing = {
            "method": "DELETE",
            "url": f"organizations/{office.org_id}/members/{student.user_id}",
            "headers": bearer(office.admin.token),
        }
        answers = api.at_once([adding[0], adding[1], removing, adding[2], adding[3]])
        assert {each.status_code for each in answers} == {200, 204}
        for class_id in classes:
            events = [
                each for each in api.events(class_id) if getattr(each, "user_id", "") == student.user_id
            ]
            assert [type(each) for each in events] in ([], [StudentEnrolled, StudentWithdrawn])


def test_who_lost_the_role_by_itself_is_found_and_taken_out_of_the_classes(api, office):
    class_id, teacher = office.open_class(), office.member("teacher")
    kept = office.member("teacher", "student")
    office.put_into(class_id, "students", kept.user_id)
    office.put_into(class_id, "teachers", teacher.user_id, kept.user_id)
    lapse = ChangeRole(user_id=teacher.user_id, role="teacher", org_id=office.org_id)
    api.run(end_role(api.write, bootstrap_context(), lapse, "unconfirmed"))

    tended = api.run(tend_memberships(api.write, api.services.class_lists))

    assert (tended.taken_out, tended.failed) == (1, ())
    assert api.events(class_id)[-1] == TeacherWithdrawn(user_id=teacher.user_id)
    [withdrawn] = api.recorded(class_id)[-1:]
    assert withdrawn.metadata.actor.id == "memberships"
    assert people(office, class_id) >= {(kept.user_id, "student"), (kept.user_id, "teacher")}


def test_a_system_administrator_may_repair_a_class_of_any_organisation(api):
    office = an_office(api, "kzone")
    class_id = office.open_class()
    root = somebody(api, GrantedRole("sys_admin")).http
    answer = root.put(f"{office.url}/classes/{class_id}", json={"name": "Repaired"})
    assert (answer.status_code, answer.json()["name"]) == (200, "Repaired")
