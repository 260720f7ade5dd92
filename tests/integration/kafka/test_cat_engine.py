"""The engine of adaptive tests, on the log and on Kafka: each response is decided once, whatever happens."""

from time import monotonic

import httpx
import psycopg
import pytest

from infra.kafka import command_consumer
from infra.postgres.migrate import MIGRATIONS_DIR
from tests.support.adaptive_api import Sitting, adaptive_exam
from tests.support.api import eventually, running_api
from tests.support.brokers import BROKERS, Broker, fresh_prefix
from tests.support.deciding import (
    ARRIVES_S,
    assert_each_response_was_decided_once,
    engine_forgets,
    engine_position,
    engine_reaches,
    go_on,
    last_of_attempts,
    patient,
    roles,
    sit,
)
from tests.support.relayed import PARTITIONS
from tests.support.sequencing import sequenced


def test_where_everything_is_one_process_each_answer_brings_the_next_item(database, tmp_path):
    with running_api(database, tmp_path) as api, patient(api):
        school = api.school()
        exam = adaptive_exam(school)
        sittings = sit(exam, school.students(3), answers=5)
        assert [sitting.next["status"] for sitting in sittings] == ["finished"] * 3
        assert_each_response_was_decided_once(api, sittings, answers=5)
        told = httpx.get(f"{api.base_url}/metrics").text
    assert 'megacity_cat_decisions_total{next="item"} 12.0' in told
    assert 'megacity_cat_decisions_total{next="end"} 3.0' in told
    assert "megacity_cat_decision_seconds_count 15.0" in told


def test_responses_at_fixed_exams_are_passed_over(database, tmp_path):
    with running_api(database, tmp_path) as api:
        school = api.school()
        exam = school.exam()
        student = school.student()
        attempt_id = student.http.post(f"/exams/{exam.exam_id}/attempts").json()["attempt_id"]
        for item_id in exam.item_ids:
            student.http.put(
                f"/attempts/{attempt_id}/responses/{item_id}", json={"response": {"options": ["2"]}}
            )
        engine_reaches(database, sequenced(database))
        assert [type(event).__name__ for event in api.events(attempt_id)] == [
            "AttemptStarted",
            *["ResponseGiven"] * 3,
        ]
        assert "megacity_cat_decision_seconds_count 0.0" in httpx.get(f"{api.base_url}/metrics").text


def test_an_engine_elsewhere_is_heard_of_as_soon_as_it_has_decided(database, tmp_path):
    with roles(database, tmp_path, "sequencer", "cat-engine") as api, patient(api):
        school = api.school()
        exam = adaptive_exam(school)
        began = monotonic()
        sittings = sit(exam, school.students(2), answers=5)
        assert monotonic() - began < ARRIVES_S, "somebody was not told and looked when the time was over"
        assert [sitting.next["status"] for sitting in sittings] == ["finished"] * 2
        assert_each_response_was_decided_once(api, sittings, answers=5)


def test_two_engines_at_once_decide_each_response_once(database, tmp_path):
    with roles(database, tmp_path, "sequencer", "cat-engine", "cat-engine") as api, patient(api):
        school = api.school()
        exam = adaptive_exam(school)
        sittings = sit(exam, school.students(6), answers=4)
        assert_each_response_was_decided_once(api, sittings, answers=4)


def test_a_response_that_came_before_the_engine_ever_ran_is_decided_when_it_does(database, tmp_path):
    with roles(database, tmp_path, "sequencer") as api:
        school = api.school()
        sitting = Sitting.start(school.student(), adaptive_exam(school))
        with patient(api, 0.0):
            assert sitting.answer().status_code == 202
        with (
            running_api(database, tmp_path / "engine", role="cat-engine"),
            patient(api),
        ):
            sitting.next = sitting.ask(wait_s=30).json()
            go_on(sitting, 4)
        assert sitting.next["status"] == "finished"
        assert_each_response_was_decided_once(api, [sitting], answers=5)


def test_an_engine_that_dies_between_its_decision_and_its_position_decides_nothing_again(
    database, tmp_path, monkeypatch
):
    def is_killed(*_):
        raise psycopg.OperationalError("killed before the position was kept")

    with roles(database, tmp_path, "sequencer") as api:
        school = api.school()
        exam = adaptive_exam(school)
        with monkeypatch.context() as patched:
            patched.setattr(command_consumer, "keep", is_killed)
            with running_api(database, tmp_path / "first", role="cat-engine"), patient(api):
                [sitting] = sit(exam, school.students(1), answers=2)
            assert engine_position(database) == 0
        with running_api(database, tmp_path / "second", role="cat-engine"), patient(api):
            go_on(sitting, 3)
            engine_reaches(database, sequenced(database))
        assert_each_response_was_decided_once(api, [sitting], answers=5)


def test_the_whole_log_once_more_changes_nothing(database, tmp_path):
    with running_api(database, tmp_path / "one") as api, patient(api):
        school = api.school()
        sittings = sit(adaptive_exam(school), school.students(3), answers=3)
        engine_reaches(database, last_of_attempts(database))
    head = last_of_attempts(database)
    engine_forgets(database)
    with running_api(database, tmp_path / "two") as api:
        engine_reaches(database, head)
        assert last_of_attempts(database) == head
        assert_each_response_was_decided_once(api, sittings, answers=3)


def test_a_new_deployment_reacts_to_nothing_that_came_before_it(database, tmp_path):
    with running_api(database, tmp_path, role="write-api") as api:
        school = api.school()
        sitting = Sitting.start(school.student(), adaptive_exam(school))
        with patient(api, 0.0):
            sitting.answer()
    head = sequenced(database)
    [migration] = [each for each in MIGRATIONS_DIR.iterdir() if each.name.endswith("_cat_engine.sql")]
    with psycopg.connect(database) as admin:
        admin.execute("DELETE FROM ops.consumer_partitions")
        admin.execute(migration.read_text(encoding="utf-8"))
    assert engine_position(database) == head


def test_an_engine_that_is_far_behind_is_not_ready(database, tmp_path):
    with running_api(database, tmp_path / "writer", role="write-api") as api:
        school = api.school()
        sitting = Sitting.start(school.student(), adaptive_exam(school))
        with patient(api, 0.0):
            sitting.answer()
    head = sequenced(database)
    with running_api(
        database, tmp_path / "engine", role="cat-engine", projections={"ready_lag": 0}
    ) as engine:
        engine_reaches(database, head)
        assert "cat-engine is" not in httpx.get(f"{engine.base_url}/readyz").text
        with psycopg.connect(database) as admin:
            admin.execute("UPDATE ops.consumer_partitions SET position = 1 WHERE consumer = 'cat-engine'")
        eventually(lambda: "cat-engine is" in httpx.get(f"{engine.base_url}/readyz").text)


@pytest.mark.parametrize("broker", BROKERS, indirect=True)
class TestOnKafka:
    @pytest.fixture
    def settings(self, broker: Broker):
        kafka = {
            "bootstrap_servers": broker.bootstrap_servers,
            "topic_prefix": fresh_prefix(),
            "partitions": PARTITIONS,
        }
        return {"kafka": kafka, "cat": {"feed": "kafka"}}

    def test_a_group_of_two_decides_each_response_once_and_the_whole_topic_again_changes_nothing(
        self, database, tmp_path, settings
    ):
        beside = ("sequencer", "relay", "cat-engine")
        with roles(database, tmp_path / "one", *beside, "cat-engine", **settings) as api, patient(api):
            school = api.school()
            people = school.students(6)
            sittings = sit(adaptive_exam(school), people, answers=3)
            assert_each_response_was_decided_once(api, sittings, answers=3)
        engine_forgets(database)
        head = last_of_attempts(database)
        # Another prefix: the whole log is relayed anew, to an engine that knows of none of it.
        again = {**settings, "kafka": {**settings["kafka"], "topic_prefix": fresh_prefix()}}
        with roles(database, tmp_path / "two", *beside, **again) as api, patient(api):
            engine_reaches(database, head)
            assert last_of_attempts(database) == head
            for sitting, person in zip(sittings, people, strict=True):
                sitting.person.http = api.client(api.token(person.user_id))
                go_on(sitting, 2)
            assert_each_response_was_decided_once(api, sittings, answers=5)

    def test_who_goes_back_to_the_log_goes_on_where_kafka_was(self, database, tmp_path, settings):
        with (
            roles(database, tmp_path / "one", "sequencer", "relay", "cat-engine", **settings) as api,
            patient(api),
        ):
            school = api.school()
            sittings = sit(adaptive_exam(school), school.students(2), answers=5)
            last = max(_position_of_last_response(database, each.attempt_id) for each in sittings)
            engine_reaches(database, last)
            assert_each_response_was_decided_once(api, sittings, answers=5)


def _position_of_last_response(database: str, attempt_id: str) -> int:
    with psycopg.connect(database) as admin:
        [[position]] = admin.execute(
            "SELECT max(p.position) FROM log.positions p JOIN log.events e USING (append_id)"
            " WHERE e.stream_id = %s AND e.type LIKE 'attempt.response_given.%%'",
            [attempt_id],
        ).fetchall()
    return int(position)
