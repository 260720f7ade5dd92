"""Readiness: what it says, to whom, and what asking costs."""

import asyncio
import json
from types import SimpleNamespace

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from infra.observability.metrics import ProjectionMetrics, new_registry
from infra.observability.sequencer_metrics import SequencerMetrics
from infra.operations import Operations, operations_router
from infra.postgres.roles import WRITER, role_conninfo
from infra.readiness import ReadinessProbe
from tests.support.postgres import ROLE_SECRET
from tests.support.relayed import Writer
from tests.support.sequencing import sequenced
from tests.support.stored_story import store
from tests.support.story import a_whole_story

EMAIL = "minji@example.org"
CHANGED = "UPDATE ops.schema_migrations SET sha256 = repeat('0', 64) WHERE version = 20"
UNKNOWN = (
    "INSERT INTO ops.schema_migrations (version, name, sha256) VALUES (9999, '9999_newer', repeat('0', 64))"
)
HALTED = (
    "INSERT INTO ops.projections (name, version, position, status, error, failed_position)"
    f" VALUES ('people', 1, 6, 'failed', 'refused: {EMAIL}', 7)"
)

# A batch of a minute ago, after which everything is sequenced.
BATCH = """
    INSERT INTO log.batches (last_position, last_append_id, snapshot, system_id, sequenced_at)
    SELECT %s, (SELECT max(append_id) FROM log.positions), pg_current_snapshot(),
        (SELECT system_identifier FROM pg_control_system()), now() - interval '1 minute'
"""
# Two events that nobody has given a position.
WAITING = """
    INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
    SELECT stream_id, (SELECT max(version) + 1 FROM log.events m WHERE m.stream_id = e.stream_id),
        type, meta, payload, leaf
    FROM (SELECT DISTINCT ON (stream_id) * FROM log.events ORDER BY stream_id LIMIT 2) AS e
"""


@pytest.fixture
def admin(database):
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def ask(database):
    """Sends requests to the operations routes, many at once."""

    def send(*paths, good_for_s=60.0, conninfo=None, **options):
        registry = new_registry()
        probe = ReadinessProbe(
            conninfo or role_conninfo(database, WRITER, ROLE_SECRET),
            ProjectionMetrics.create(registry),
            SequencerMetrics.create(registry),
            ready_lag=10,
            good_for_s=good_for_s,
            **options,
        )
        app = FastAPI()
        app.state.operations = Operations(registry, probe)
        app.include_router(operations_router())

        async def all_at_once():
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await asyncio.gather(*(client.get(path) for path in paths))

        return asyncio.run(all_at_once())

    return send


def test_a_migrated_database_is_ready(ask):
    [answer] = ask("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (200, [])


def test_many_who_ask_at_once_share_one_look_and_one_connection(ask, monkeypatch):
    opened = []

    def connect(*arguments, **options):
        opened.append(options)
        return psycopg.connect(*arguments, **options)

    # The name in that module alone: threads of other tests may be at work here, and connect as well.
    watched = SimpleNamespace(connect=connect, Error=psycopg.Error)
    monkeypatch.setattr("infra.readiness.psycopg", watched)
    answers = ask(*["/readyz"] * 50, *["/metrics"] * 10)
    assert [answer.status_code for answer in answers] == [200] * 60
    assert len(opened) == 1
    assert opened[0]["connect_timeout"] <= 5


def test_a_look_is_not_good_for_ever(database, admin):
    async def story():
        registry = new_registry()
        metrics = ProjectionMetrics.create(registry), SequencerMetrics.create(registry)
        conninfo = role_conninfo(database, WRITER, ROLE_SECRET)
        probe = ReadinessProbe(conninfo, *metrics, ready_lag=10, good_for_s=0.0)
        first = await probe()
        admin.execute(CHANGED)
        return first.status, (await probe()).status

    assert asyncio.run(story()) == ("ready", "not_ready")


@pytest.mark.parametrize("statement", [CHANGED, UNKNOWN])
def test_migrations_of_another_release_make_it_not_ready_and_the_figures_go_on(ask, admin, statement):
    admin.execute(statement)
    ready, metrics = ask("/readyz", "/metrics")
    assert (ready.status_code, ready.json()["status"]) == (503, "not_ready")
    assert ready.json()["reasons"] == ["the database was not migrated by this release"]
    assert ready.json()["database"] is True
    assert metrics.status_code == 200


def test_pending_migrations_are_named(ask, admin):
    admin.execute("DELETE FROM ops.schema_migrations WHERE version >= 20")
    [ready] = ask("/readyz")
    assert ready.status_code == 503
    assert ready.json()["reasons"] == ["migrations are pending"]
    assert "0020_read_models" in ready.json()["pending_migrations"]


def test_a_database_that_is_away_makes_it_not_ready_and_the_figures_go_on(ask):
    ready, metrics = ask("/readyz", "/metrics", conninfo="host=127.0.0.1 port=1 dbname=x user=x")
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["the database cannot be reached"])
    assert ready.json()["database"] is False
    assert metrics.status_code == 200


def test_a_halted_projection_is_told_with_its_place_and_without_its_error(ask, admin):
    admin.execute(HALTED)
    ready, metrics = ask("/readyz", "/metrics")
    assert ready.status_code == 503
    assert ready.json()["reasons"] == ["projection people has halted"]
    [projection] = ready.json()["projections"]
    assert (projection["name"], projection["position"], projection["lag"]) == ("people", 6, 0)
    assert (projection["halted"], projection["failed_position"]) == (True, 7)
    assert EMAIL not in json.dumps(ready.json()) + metrics.text
    assert 'megacity_projection_position{projection="people"} 6.0' in metrics.text


def test_the_log_and_how_far_behind_everybody_is_are_told(ask, admin, database):
    story = a_whole_story(2)
    store(database, story)
    head = len(story.events)
    admin.execute(
        "INSERT INTO ops.projections (name, version, position, status, set_aside)"
        " VALUES ('people', 1, %s, 'running', 3)",
        [head - 4],
    )
    admin.execute(BATCH, [head - 1])
    admin.execute(WAITING)
    ready, metrics = ask("/readyz", "/metrics")
    assert (ready.json()["head"], ready.json()["unsequenced"]) == (head, 2)
    [projection] = ready.json()["projections"]
    assert (projection["lag"], projection["set_aside"]) == (4, 3)
    assert projection["lag_s"] > 59
    assert 'megacity_projection_lag_events{projection="people"} 4.0' in metrics.text
    assert 'megacity_projection_events_set_aside{projection="people"} 3.0' in metrics.text
    figures = dict(line.rsplit(" ", 1) for line in metrics.text.splitlines() if not line.startswith("#"))
    assert float(figures["megacity_sequencer_lag_events"]) == 2
    assert float(figures["megacity_sequencer_lag_seconds"]) > 3600
    assert float(figures['megacity_projection_lag_seconds{projection="people"}']) > 59


@pytest.mark.parametrize(("status", "answer"), [("running", 503), ("paused", 200)])
def test_a_projection_that_is_far_behind_is_not_ready_unless_an_operator_paused_it(
    ask, admin, database, status, answer
):
    store(database, a_whole_story(2))
    admin.execute(
        "INSERT INTO ops.projections (name, version, position, status) VALUES ('people', 1, 1, %s)", [status]
    )
    [ready] = ask("/readyz")
    assert ready.status_code == answer
    assert ready.json()["projections"][0]["paused"] == (status == "paused")
    assert bool(ready.json()["reasons"]) == (answer == 503)


def test_where_nobody_sequences_it_is_not_ready(ask, admin, database):
    store(database, a_whole_story(2))
    for _ in range(6):
        admin.execute(WAITING)
    [ready] = ask("/readyz")
    assert ready.status_code == 503
    assert ready.json()["reasons"] == ["12 events or more wait for the sequencer"]


def test_a_consumer_that_runs_here_and_is_far_behind_makes_it_not_ready(ask, admin, database):
    Writer(database).write(11)
    head = sequenced(database)
    for position, reasons in ((0, [f"cat-engine is {head} events behind"]), (head - 10, [])):
        admin.execute(
            "UPDATE ops.consumer_partitions SET position = %s WHERE consumer = 'cat-engine'", [position]
        )
        [here], [elsewhere] = ask("/readyz", consumers=["cat-engine"]), ask("/readyz")
        assert here.json()["reasons"] == reasons
        assert elsewhere.json()["reasons"] == []
