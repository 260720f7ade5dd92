"""The handlers' own checks, with everything else switched off: every token is believed, no role is asked for.

Nothing is counted either, and row-level security does not apply to the log. What somebody does to things that
are not theirs has to end at the handler then, and leave no event behind.
"""

import dataclasses
from contextlib import contextmanager

import msgspec
import pytest

from domain.users.account import GrantedRole
from infra.application import whole_document
from infra.http.errors import InvalidToken
from infra.http.guards import RequireRole, RequireZone, authenticated
from infra.http.principal import Principal, RoleGrant
from infra.policies.wall import PolicyWall
from tests.support.api import ZONE, choice_item, running_api
from tests.support.bodies import csv_request, csv_text, json_body
from tests.support.http import NoPolicyWall
from tests.support.postgres import fresh_database, run_folder

DOCUMENT = whole_document()
THINGS = {"bank_id", "item_id", "exam_id", "attempt_id", "org_id", "class_id"}
WITH_OWNERS = [
    pytest.param((method, path, operation), id=operation["operationId"])
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if method != "get" and any("{" + name + "}" in path for name in THINGS)
]
ABOUT_PEOPLE = [
    pytest.param((method, path, operation), id=operation["operationId"])
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if method != "get" and path.startswith("/api/v1/users/{user_id}")
]


class Gullible:
    """Takes whatever is written in a token for true."""

    def verify(self, token):
        try:
            return msgspec.json.decode(bytes.fromhex(token), type=Principal)
        except (ValueError, msgspec.DecodeError):
            raise InvalidToken(reason="it is unreadable") from None


def said_by(principal):
    return msgspec.json.encode(principal).hex()


@contextmanager
def no_other_walls(api):
    async def let_in(self, request):
        del self
        return await authenticated(request)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RequireRole, "__call__", let_in)
        patched.setattr(RequireZone, "__call__", let_in)
        for name, lets_through in vars(NoPolicyWall).items():
            if not name.startswith("_"):
                patched.setattr(PolicyWall, name, lets_through)
        services = api.services
        api.app.state.services = dataclasses.replace(services, token_verifier=Gullible())
        try:
            yield
        finally:
            api.app.state.services = services


@pytest.fixture(scope="module")
def api(postgres_server):
    with (
        run_folder("walls") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def things(api):
    """What belongs to one school, by the names that paths have for it."""
    school = api.school()
    exam = school.exam()
    student = school.student()
    attempt = student.http.post(f"/exams/{exam.exam_id}/attempts").json()
    return {
        "org_id": school.org_id,
        "bank_id": exam.bank_id,
        "item_id": exam.item_ids[0],
        "exam_id": exam.exam_id,
        "attempt_id": attempt["attempt_id"],
        "user_id": student.user_id,
        "class_id": _class_of(school),
        "invitation_id": "invitation-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f",
    }


def _class_of(school):
    body = json_body(DOCUMENT, DOCUMENT["paths"]["/api/v1/organizations/{org_id}/classes"]["post"])
    made = school.admin().http.post(f"/organizations/{school.org_id}/classes", json=body)
    assert made.status_code == 201, made.text
    return made.json()["class_id"]


@pytest.fixture(scope="module")
def strangers(api):
    """People of another school of the same zone, by what they are there."""
    school = api.school("Another school")
    subjects = {
        role: api.person(GrantedRole(role, school.org_id), org_id=school.org_id).user_id
        for role in ("student", "parent", "teacher", "tutor", "org_admin")
    }
    subjects["service"] = school.service()[0]
    return {
        role: Principal(
            subject_id=subject,
            zone_id=ZONE,
            roles=(RoleGrant(role, school.org_id),),
            session_id=api.services.new_id(),
        )
        for role, subject in subjects.items()
    }


def events_of(api):
    """All that was recorded, but for observations, which say what was looked at."""
    [[count]] = api.query("SELECT count(*) FROM log.events WHERE stream_id NOT LIKE 'observation-%%'")
    return count


def assert_refused_to_all(api, strangers, things, asked):
    method, path, operation = asked
    for name, value in {**things, "role": "student"}.items():
        path = path.replace("{" + name + "}", value)
    body = json_body(DOCUMENT, operation)
    if body is not None and "content" in body:
        body["content"] = choice_item()
    sent = {} if body is None else {"json": body}
    table = csv_text(operation)
    if table is not None:
        sent = csv_request(table)
    with no_other_walls(api):
        before = events_of(api)
        for role, who in strangers.items():
            answer = api.client(said_by(who)).request(method, api.base_url + path, **sent)
            assert answer.status_code in {403, 404}, f"{role}: {answer.status_code} {answer.text}"
        assert events_of(api) == before


@pytest.mark.parametrize("asked", WITH_OWNERS)
def test_nobody_does_anything_to_what_is_another_school_s(api, things, strangers, asked):
    assert_refused_to_all(api, strangers, things, asked)


@pytest.mark.parametrize("asked", ABOUT_PEOPLE)
def test_nobody_changes_the_account_of_somebody_of_another_school(api, things, strangers, asked):
    assert_refused_to_all(api, strangers, things, asked)


def test_the_other_walls_are_off_indeed(api, things, strangers):
    mine = msgspec.structs.replace(strangers["student"], subject_id=things["user_id"])
    saving = f"/attempts/{things['attempt_id']}/responses/{things['item_id']}"
    with no_other_walls(api):
        # A lie that is believed gets as far as its subject may go.
        answer = api.client(said_by(mine)).put(saving, json={"response": {"options": ["1"]}})
        assert answer.status_code == 200, answer.text
    refusal = api.client(said_by(mine)).put(saving, json={"response": {"options": ["1"]}})
    assert refusal.status_code == 401
