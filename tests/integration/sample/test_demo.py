import stat

import httpx
import msgspec
import pytest

from infra.sample.demo import DEMO_FILE, load_demo_plan, readable_password
from infra.secrets_files import SecretFileError
from tests.support.api import bearer


def signed_in(api, person):
    answer = httpx.post(
        f"{api.base_url}/api/v1/auth/login", json={"email": person.email, "password": person.password}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


def test_everybody_of_the_demo_can_sign_in_and_is_who_they_should_be(api, demo):
    assert [person.role for person in demo.people] == ["student", "teacher", "org_admin"]
    for person in demo.people:
        claims = api.services.token_verifier.verify(signed_in(api, person))
        assert claims.subject_id == person.user_id
        assert [(grant.role, grant.org_id) for grant in claims.roles] == [(person.role, demo.org_id)]


def test_the_client_signs_in_as_a_service_of_the_organisation(api, demo):
    answer = httpx.post(
        f"{api.base_url}/api/v1/auth/token",
        json={
            "grant_type": "client_credentials",
            "client_id": demo.client_id,
            "client_secret": demo.client_secret,
        },
    )
    claims = api.services.token_verifier.verify(answer.json()["access_token"])
    assert [(grant.role, grant.org_id) for grant in claims.roles] == [("service", demo.org_id)]


def test_a_second_set_up_finds_everything_as_it_is(api, set_up, tmp_path):
    first = set_up(tmp_path)
    versions = [len(api.events(stream)) for stream in (first.org_id, *(p.user_id for p in first.people))]

    assert set_up(tmp_path, name="Another name by now") == first
    assert versions == [
        len(api.events(stream)) for stream in (first.org_id, *(p.user_id for p in first.people))
    ]


class Crash(Exception):
    pass


@pytest.mark.parametrize("survived", [0, 1, 2, 4, 6, 9, 12])
def test_a_set_up_that_crashed_anywhere_is_gone_on_with(api, set_up, tmp_path, monkeypatch, survived):
    log, claims, credentials = api.write.streams._log, api.write.claims, api.write.credentials
    steps = 0

    def crashing(step):
        async def wrapped(*args, **kwargs):
            nonlocal steps
            if steps == survived:
                raise Crash
            steps += 1
            return await step(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(log, "append", crashing(log.append))
        patch.setattr(claims, "claim", crashing(claims.claim))
        patch.setattr(credentials, "put", crashing(credentials.put))
        with pytest.raises(Crash):
            set_up(tmp_path)
    plan = load_demo_plan(tmp_path)

    demo = set_up(tmp_path)
    assert (demo.client_id, demo.client_secret) == (plan.client_id, plan.client_secret)
    assert [person.password for person in demo.people] == [person.password for person in plan.people]
    assert len(api.events(demo.org_id)) == 2
    assert [len(api.events(person.user_id)) for person in demo.people] == [2, 2, 2]
    signed_in(api, demo.person("student"))


def test_another_set_up_on_the_same_database_takes_other_addresses(api, set_up, tmp_path):
    here, there = set_up(tmp_path / "here"), set_up(tmp_path / "there")

    assert not {person.email for person in here.people} & {person.email for person in there.people}
    assert here.org_id != there.org_id
    signed_in(api, here.person("teacher"))
    signed_in(api, there.person("teacher"))
    assert set_up(tmp_path / "there") == there


def test_the_file_is_for_its_owner_alone(set_up, tmp_path):
    set_up(tmp_path)

    assert stat.S_IMODE((tmp_path / DEMO_FILE).stat().st_mode) == 0o600


def test_a_file_that_holds_something_else_is_refused_with_a_sentence(set_up, tmp_path):
    (tmp_path / DEMO_FILE).write_bytes(msgspec.json.encode({"people": []}))

    with pytest.raises(SecretFileError, match="does not hold the demo set-up"):
        set_up(tmp_path)


def test_nobody_is_there_before_the_first_set_up(tmp_path):
    assert load_demo_plan(tmp_path) is None


def test_passwords_are_readable_and_never_the_same():
    made = {readable_password() for _ in range(200)}

    assert len(made) == 200
    for password in made:
        assert [len(group) for group in password.split("-")] == [4, 4, 4, 4]


def test_the_demo_student_may_take_what_is_offered_to_the_zone(api, demo):
    school = api.school()
    exam = school.exam(audience="zone")
    token = signed_in(api, demo.person("student"))

    answer = httpx.post(f"{api.base_url}/api/v1/exams/{exam.exam_id}/attempts", headers=bearer(token))
    assert answer.status_code == 201, answer.text
