"""What is taken away is gone at the very next read, though the token that is sent lives on.

The commands are called themselves: over HTTP a revoked token would be refused before row-level security had
its say. Every read is one over HTTP, sent at once after the command has returned.
"""

import threading
from contextlib import contextmanager
from random import Random

import pytest

from commands.classes import ClassPeople, OpenClass, add_to_class, open_class, withdraw_from_class
from commands.context import CommandContext
from commands.kinds import USER
from commands.parent_links import LinkOrder, RequestLink, approve_link, request_link, revoke_link
from commands.ports import AccessNotApplied
from domain.events import Actor
from domain.users import account
from domain.users.account import GrantedRole
from infra.access_applied import AccessProjectionApplied
from infra.composition import new_id, projection_runners
from tests.support.api import bootstrap_context, eventually, running_api
from tests.support.postgres import fresh_database, run_folder

ROUNDS = 200
FEWER = 60


def acting(person_id, *, kind="user", zone_id="univprep", org_id=None, staff_of=()):
    return CommandContext(
        actor=Actor(kind, person_id),
        zone_id=zone_id,
        org_id=org_id,
        correlation_id=new_id(),
        command_id=new_id(),
        staff_of=frozenset(staff_of),
    )


@pytest.fixture(scope="module")
def api(postgres_server):
    with (
        run_folder("api") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def school(api):
    return api.school()


def test_what_was_taken_away_is_on_the_disk_before_anybody_is_told(api):
    """Other read models may lose their last rows with the server, and make them anew."""
    runners = projection_runners(api.settings, api.database, None, None)
    commits = {}
    for runner in runners:
        with runner._connect() as connection:
            [row] = connection.execute("SHOW synchronous_commit").fetchall()
        commits[runner.name] = row["synchronous_commit"]
    assert commits["access"] == "on"
    assert {how for name, how in commits.items() if name != "access"} == {"off"}


@pytest.fixture(scope="module")
def taken(school):
    """A student with a scored attempt at an exam that somebody else has drafted."""
    exam = school.exam(release="at_once")
    student = school.student()
    answer = student.http.post(f"/exams/{exam.exam_id}/attempts")
    assert answer.status_code == 201, answer.text
    attempt_id = answer.json()["attempt_id"]
    submitted = student.http.post(f"/attempts/{attempt_id}/submit")
    assert submitted.status_code == 200, submitted.text
    return student, attempt_id


@contextmanager
def others_at_work(school):
    """The projections have something to do all the time: answers, and new people."""
    exam = school.exam()
    students = school.students(3)
    stop = threading.Event()

    def work():
        random = Random(1)
        attempts = [
            (each, each.http.post(f"/exams/{exam.exam_id}/attempts").json()["attempt_id"])
            for each in students
        ]
        sequence = 0
        while not stop.is_set():
            sequence += 1
            for student, attempt_id in attempts:
                student.http.put(
                    f"/attempts/{attempt_id}/responses/{random.choice(exam.item_ids)}",
                    json={"response": {"options": [random.choice("1234")]}, "sequence": sequence},
                )
            school.students(1)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def statuses(reader, attempt_id):
    return reader.http.get(f"/attempts/{attempt_id}").status_code


def seen_again(reader, attempt_id):
    eventually(lambda: statuses(reader, attempt_id) == 200, every_s=0.005)


@pytest.mark.timeout(300)
def test_a_revoked_link_shows_nothing_at_the_very_next_read_200_times_in_a_row(api, school, taken):
    student, attempt_id = taken
    parent = api.person(GrantedRole("parent"))
    with others_at_work(school):
        for number in range(ROUNDS):
            asked = api.run(
                request_link(api.write, acting(parent.user_id), RequestLink(student_id=student.user_id))
            )
            assert statuses(parent, attempt_id) == 404
            order = LinkOrder(link_id=asked.stream_id)
            api.run(approve_link(api.write, acting(student.user_id), order))
            seen_again(parent, attempt_id)
            by = (parent, student)[number % 2]
            api.run(revoke_link(api.write, acting(by.user_id), order))
            assert statuses(parent, attempt_id) == 404, f"round {number}"


@pytest.mark.timeout(300)
def test_a_student_taken_out_of_a_class_is_gone_at_the_teachers_very_next_read(api, school, taken):
    student, attempt_id = taken
    teacher = api.person(GrantedRole("teacher", school.org_id), org_id=school.org_id)
    admin = school.admin()

    def administering():
        return acting(admin.user_id, org_id=school.org_id, staff_of=[school.org_id])

    opened = api.run(open_class(api.write, administering(), OpenClass(org_id=school.org_id, name="1-1")))
    people = {"org_id": school.org_id, "class_id": opened.stream_id}
    api.run(
        add_to_class(
            api.write, administering(), ClassPeople(part="teacher", user_ids=(teacher.user_id,), **people)
        )
    )
    pupil = ClassPeople(part="student", user_ids=(student.user_id,), **people)
    with others_at_work(school):
        for number in range(FEWER):
            assert statuses(teacher, attempt_id) == 404
            api.run(add_to_class(api.write, administering(), pupil))
            seen_again(teacher, attempt_id)
            api.run(withdraw_from_class(api.write, administering(), pupil))
            assert statuses(teacher, attempt_id) == 404, f"round {number}"


@pytest.mark.timeout(300)
def test_a_lapsed_role_shows_nothing_at_the_very_next_read(api, school, taken):
    _, attempt_id = taken
    admin = school.admin()

    def lapse(state):
        return account.take_role_away(state, "org_admin", school.org_id, "removed")

    def change(decide):
        done = api.run(api.write.streams.execute(acting(admin.user_id), USER, admin.user_id, decide))
        return done.stream_id, done.version

    with others_at_work(school):
        for number in range(FEWER):
            seen_again(admin, attempt_id)
            lapsed = change(
                lambda state: account.take_role_away(state, "org_admin", school.org_id, "removed")
            )
            api.run(api.write.access_applied.wait(*lapsed))
            assert statuses(admin, attempt_id) == 404, f"round {number}"
            change(lambda state: account.grant_role(state, "org_admin", school.org_id, api.clock()))


def test_a_role_is_not_said_to_be_gone_while_the_projection_has_not_applied_it(api, school):
    somebody = api.person(GrantedRole("teacher", school.org_id), org_id=school.org_id)
    done = api.run(
        api.write.streams.execute(
            bootstrap_context(),
            USER,
            somebody.user_id,
            lambda state: account.take_role_away(state, "teacher", school.org_id, "removed"),
        )
    )
    api.run(api.write.access_applied.wait(done.stream_id, done.version))
    waiting = AccessProjectionApplied(api.services.writer_pool, wait_s=0.05)
    with pytest.raises(AccessNotApplied):
        api.run(waiting.wait(done.stream_id, done.version + 1))
    api.query(
        "INSERT INTO ops.set_aside_events (projection, position, stream_id, version, type, error, error_kind,"
        " attempts, told) VALUES ('access', 1, %s, 1, 't', 'e', 'k', 1, true) RETURNING 1",
        somebody.user_id,
    )
    with pytest.raises(AccessNotApplied):
        api.run(waiting.wait(done.stream_id, done.version))
