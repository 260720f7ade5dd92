"""Following an adaptive attempt: server-sent events over a real socket."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi import routing

from commands.api import next_items
from infra.event_store.append_log import EventLogUnreachable
from tests.support.adaptive_api import Sitting, adaptive_exam, decide_elsewhere, engine_running
from tests.support.api import Clock, eventually, refusal, running_api
from tests.support.event_streams import LIMIT_S, following
from tests.support.postgres import run_folder


@pytest.fixture
def student(manual_school):
    return manual_school.student()


@pytest.fixture
def sitting(student, five_items):
    return Sitting.start(student, five_items)


@pytest.fixture
def engine(manual_api):
    with engine_running(manual_api):
        yield


def another_client(api, sitting):
    return api.client(sitting.token)


def nobody_follows(api, sitting):
    return eventually(lambda: sitting.attempt_id not in api.write.streams.news._listeners)


def test_it_begins_with_the_item_that_waits_for_an_answer(sitting):
    with following(sitting) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-cache"
        hello = stream.block()
        assert hello["retry"] == "1000"
        kind, version, shown = stream.event()
    assert (kind, shown) == ("item", sitting.next)
    assert version == 3


@pytest.mark.usefixtures("engine")
def test_each_item_is_sent_as_the_engine_presents_it_and_the_end_ends_the_stream(manual_api, sitting):
    answering = Sitting(
        dataclasses.replace(sitting.person, http=another_client(manual_api, sitting)),
        sitting.attempt_id,
        sitting.token,
        sitting.next,
    )
    received = []
    with following(sitting, lang="en") as stream:
        while (event := stream.event()) is not None:
            received.append(event)
            if event[0] == "item":
                assert event[2]["item"]["language"] == "en"
                answering.answer("2", params={"lang": "en"})
                assert event[2] != answering.next
    assert [kind for kind, _, _ in received] == ["item"] * 5 + ["finished"]
    assert [shown["step"] for _, _, shown in received] == [1, 2, 3, 4, 5, 5]
    versions = [version for _, version, _ in received]
    assert versions == sorted(set(versions))
    assert versions[-1] == len(manual_api.events(sitting.attempt_id))
    nobody_follows(manual_api, sitting)


@pytest.mark.usefixtures("engine")
def test_who_comes_back_is_sent_what_is_new_and_nothing_twice(manual_api, sitting):
    with following(sitting) as stream:
        _, seen, _ = stream.event()
    with following(sitting, last_event_id=seen) as stream:
        stream.block()
        sitting.put(sitting.next["item"]["item_id"], headers={})
        kind, version, shown = stream.event()
    assert (kind, shown["step"]) == ("item", 2)
    assert version > seen
    # An id that this attempt never gave is no reason to keep its item from anybody.
    with following(sitting, last_event_id=10**18) as stream:
        assert stream.event()[2] == shown
    nobody_follows(manual_api, sitting)


@pytest.mark.usefixtures("engine")
def test_who_comes_back_after_the_end_is_told_of_it_again(student, sitting):
    student.http.post(f"{sitting.url}/submit")
    with following(sitting) as stream:
        kind, version, shown = stream.event()
        assert (kind, shown["status"]) == ("finished", "finished")
        assert stream.event() is None
    with following(sitting, last_event_id=version) as stream:
        assert stream.event()[0] == "finished"


def test_what_another_process_decided_is_seen_without_being_told(manual_api, sitting, monkeypatch):
    monkeypatch.setattr(next_items, "LOOK_AGAIN_S", 0.1)
    monkeypatch.setattr(manual_api.write.streams.news, "tell", lambda _: None)
    object.__setattr__(manual_api.services, "next_item_wait_s", 0.0)
    try:
        other = another_client(manual_api, sitting)
        with following(sitting) as stream:
            stream.event()
            url = f"{sitting.url}/responses/{sitting.next['item']['item_id']}"
            assert other.put(url, json={"response": {"options": ["2"]}}).status_code == 202
            decide_elsewhere(manual_api, sitting.attempt_id)
            kind, _, shown = stream.event()
    finally:
        object.__setattr__(manual_api.services, "next_item_wait_s", 5.0)
    assert (kind, shown["step"]) == ("item", 2)


def test_a_stream_ends_when_the_log_cannot_be_read_so_that_its_client_comes_back(
    manual_api, sitting, monkeypatch
):
    monkeypatch.setattr(next_items, "LOOK_AGAIN_S", 0.05)
    streams = manual_api.write.streams
    with following(sitting) as stream:
        stream.event()

        async def away(*_):
            raise EventLogUnreachable(retry_after_s=1)

        with monkeypatch.context() as broken:
            broken.setattr(streams, "read", away)
            assert stream.event() is None
    with following(sitting) as stream:
        assert stream.event()[0] == "item"


def test_a_silent_stream_sends_comments_so_that_nobody_hangs_up(sitting, monkeypatch):
    assert routing._PING_INTERVAL == 15.0
    monkeypatch.setattr(routing, "_PING_INTERVAL", 0.05)
    with following(sitting) as stream:
        stream.event()
        assert "event" not in stream.block()


def test_more_streams_than_a_client_needs_are_refused(manual_api, sitting):
    clients = [another_client(manual_api, sitting) for _ in range(3)]
    with following(sitting, client=clients[0]), following(sitting, client=clients[1]):
        with following(sitting, client=clients[2]):
            refused = sitting.person.http.get(f"{sitting.url}/events")
            assert refusal(refused) == (409, "too-many-event-streams")
            assert refused.json()["at_most"] == 3
        eventually(lambda: manual_api.services.open_answers.has_room("event stream", sitting.attempt_id))
        with following(sitting) as stream:
            assert stream.event()[0] == "item"
    nobody_follows(manual_api, sitting)


@pytest.mark.parametrize("last_event_id", ["x", "-1", "1.0", "01", ""])
def test_a_last_event_id_that_is_none_is_refused(sitting, last_event_id):
    answer = sitting.person.http.get(f"{sitting.url}/events", headers={"Last-Event-ID": last_event_id})
    assert refusal(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["in"] == "header"


def test_the_stream_ends_when_the_token_does(database, monkeypatch):
    monkeypatch.setattr(next_items, "LOOK_AGAIN_S", 0.05)
    clock = Clock()
    with run_folder("api") as folder, running_api(database, folder, clock=clock, role="api") as api:
        school = api.school()
        sitting = Sitting.start(school.student(), adaptive_exam(school, time_limit_s=60))
        with following(sitting, client=another_client(api, sitting)) as stream:
            assert stream.event()[0] == "item"
            clock.advance(24 * 3600 + 3600)
            assert stream.event() is None


def test_who_follows_or_waits_does_not_hold_up_the_end_of_the_server(database):
    with run_folder("api") as folder, running_api(database, folder, role="api") as api:
        school = api.school()
        exam = adaptive_exam(school)
        followed, waiting = (Sitting.start(student, exam) for student in school.students(2))
        object.__setattr__(api.services, "next_item_wait_s", 0.0)
        waiting.answer("2")
        with following(followed) as stream, ThreadPoolExecutor(1) as pool:
            stream.event()
            asking = pool.submit(waiting.ask, wait_s=30)
            eventually(lambda: waiting.attempt_id in api.write.streams.news._listeners)
            api.app.state.end_waiting()
            assert stream.event() is None
            assert asking.result(LIMIT_S).status_code == 202
            assert waiting.ask(wait_s=30).status_code == 202


def test_the_server_ends_what_waits_before_it_waits_for_it(database):
    with run_folder("api") as folder:
        ended = threading.Event()
        with running_api(database, folder, role="api") as api:
            school = api.school()
            sitting = Sitting.start(school.student(), adaptive_exam(school))
            client = httpx.Client(base_url=f"{api.base_url}/api/v1", trust_env=False)
            client.headers["Authorization"] = f"Bearer {sitting.token}"

            def follow():
                with following(sitting, client=client) as stream:
                    stream.event()
                    began.set()
                    # A stream that the server cuts off ends with an error, one that it ends with None.
                    if stream.event() is None:
                        ended.set()

            began = threading.Event()
            thread = threading.Thread(target=follow, daemon=True)
            thread.start()
            assert began.wait(LIMIT_S)
        thread.join(LIMIT_S)
        client.close()
        assert ended.is_set()
