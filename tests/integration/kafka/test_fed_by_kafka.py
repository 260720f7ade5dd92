"""Which role keeps which projection when Kafka feeds some: `megacity serve consumer` and the others."""

from contextlib import contextmanager

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from typer.testing import CliRunner

from infra.cli.main import app
from infra.composition import all_projections, event_codec, fed_by_kafka, order_free_projections
from infra.event_store.log_feed import LogFeed
from infra.postgres.roles import PROJECTOR, role_conninfo
from infra.projections import rebuilt_first
from infra.projections.checkpoints import read_checkpoint
from infra.projections.rebuilt_first import RebuiltFirst
from infra.settings import InvalidSettings, Settings
from projections.audit.projection import AuditProjection
from tests.support.api import eventually, running_api
from tests.support.brokers import Broker, fresh_prefix, kafka_of
from tests.support.postgres import ROLE_SECRET
from tests.support.relayed import PARTITIONS, a_relay, running
from tests.support.stored_story import store
from tests.support.story import a_whole_story


def column(database, statement):
    with psycopg.connect(database) as connection:
        return [row[0] for row in connection.execute(statement).fetchall()]


def audited(database):
    return column(database, "SELECT position FROM read.audit_entries ORDER BY position")


@pytest.fixture
def story(database):
    """A log, and the positions in it."""
    store(database, a_whole_story())
    return column(database, "SELECT position FROM log.positions ORDER BY position")


@pytest.mark.parametrize("broker", ["tansu"], indirect=True)
def test_the_consumer_keeps_the_read_model_from_kafka(broker: Broker, database, story, tmp_path):
    prefix = fresh_prefix()
    kafka = {
        "bootstrap_servers": broker.bootstrap_servers,
        "topic_prefix": prefix,
        "partitions": PARTITIONS,
        "projections": ("audit",),
    }
    with running_api(database, tmp_path, role="consumer", kafka=kafka) as consumer:
        with running(a_relay(database, kafka_of(broker), prefix)):
            eventually(lambda: audited(database) == story, within_s=60)
        told = httpx.get(f"{consumer.base_url}/metrics").text
        assert f'megacity_consumer_events_handled_total{{consumer="audit"}} {float(len(story))}' in told
        assert httpx.get(f"{consumer.base_url}/readyz").status_code == 200
        kept = column(database, "SELECT topic FROM ops.consumer_partitions WHERE position > 0")
        assert {topic.split(".")[0] for topic in kept} == {prefix}
        eventually(
            lambda: column(database, "SELECT position FROM ops.projections") == [story[-1]], within_s=30
        )


@pytest.mark.parametrize("role", ["projector", "all"])
def test_other_roles_leave_out_what_kafka_feeds(role, database, story, tmp_path):
    with running_api(database, tmp_path, role=role, kafka={"projections": ("audit",)}):
        eventually(
            lambda: (
                set(column(database, "SELECT position FROM ops.projections")) == {story[-1]}
                and len(column(database, "SELECT name FROM ops.projections")) == len(all_projections()) - 1
            )
        )
    assert audited(database) == []
    assert "audit" not in column(database, "SELECT name FROM ops.projections")


def test_only_projections_that_do_not_depend_on_order_can_be_fed():
    assert "audit" in order_free_projections()
    assert "item_analysis" not in order_free_projections()
    settings = Settings(kafka={"projections": "audit, item_analysis, nonsense,"})
    with pytest.raises(InvalidSettings) as caught:
        fed_by_kafka(settings)
    assert caught.value.problems == [
        f"MEGACITY_KAFKA__PROJECTIONS: {problem}"
        for problem in (
            "item_analysis depends on the order of events, or on each coming once: only the log can feed it",
            "there is no projection 'nonsense'; Kafka can feed: audit",
        )
    ]


@pytest.mark.parametrize(
    ("role", "environment", "sentence"),
    [
        ("consumer", {}, "KAFKA_BOOTSTRAP_SERVERS"),
        ("cat-engine", {"MEGACITY_CAT__FEED": "kafka"}, "KAFKA_BOOTSTRAP_SERVERS"),
        ("consumer", {"KAFKA_BOOTSTRAP_SERVERS": "one:9092"}, "MEGACITY_KAFKA__PROJECTIONS=audit"),
        ("projector", {"MEGACITY_KAFKA__PROJECTIONS": "people"}, "people depends on the order"),
        ("api", {"MEGACITY_KAFKA__PROJECTIONS": "nonsense"}, "there is no projection 'nonsense'"),
    ],
)
def test_a_role_that_cannot_do_its_work_is_refused_before_it_starts(
    monkeypatch, tmp_path, role, environment, sentence
):
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("MEGACITY_VAR_DIR", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    refused = CliRunner().invoke(app, ["serve", role])

    assert refused.exit_code == 2
    assert sentence in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_role_api_answers_writes_and_reads_and_keeps_no_read_model(database, story, tmp_path):
    with running_api(database, tmp_path, role="api") as api:
        assert httpx.post(f"{api.base_url}/api/v1/auth/login", json={}).status_code == 422
        assert httpx.get(f"{api.base_url}/api/v1/exams").status_code == 401
        assert httpx.get(f"{api.base_url}/readyz").status_code == 200
    assert story
    assert column(database, "SELECT name FROM ops.projections") == []


@pytest.mark.parametrize("role", ["sequencer", "relay", "consumer"])
def test_roles_without_requests_open_nothing_for_them(role, database, tmp_path):
    kafka = {"bootstrap_servers": "127.0.0.1:9", "projections": ("audit",)}
    with running_api(database, tmp_path, role=role, kafka=kafka) as served:
        assert httpx.get(f"{served.base_url}/readyz").status_code == 200
        # Pools, event log, password hashing: a dozen connections and some threads.
        assert not hasattr(served.app.state, "services")


class Newer(AuditProjection):
    version = AuditProjection.version + 1


class Follower:
    def __init__(self, database):
        self.database = database
        self.found = None
        self.stopped = False

    def start(self):
        self.found = audited(self.database)

    def stop(self):
        self.stopped = True
        return True


@pytest.fixture
def newer_release(database):
    """A release with a newer version of the projection, beside rows of the older one."""
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)

    def connect():
        return psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)

    with connect() as connection:
        connection.execute("INSERT INTO ops.projections (name, version) VALUES ('audit', 1)")

    @contextmanager
    def starting():
        follower = Follower(database)
        with LogFeed(conninfo, event_codec()) as feed:
            fed = RebuiltFirst(Newer(), feed, connect, follower)
            fed.start()
            try:
                yield follower
            finally:
                assert fed.stop(), "it does not end"

    return starting


def test_rows_of_an_older_version_are_rebuilt_before_kafka_is_followed(newer_release, story):
    with newer_release() as follower:
        eventually(lambda: follower.found is not None)
        assert follower.found == story
        assert not follower.stopped
    assert follower.stopped


def test_rows_are_not_rebuilt_while_an_operator_has_paused_them(newer_release, database, story, monkeypatch):
    looks = []

    def looked(connection, name):
        looks.append(name)
        return read_checkpoint(connection, name)

    monkeypatch.setattr(rebuilt_first, "read_checkpoint", looked)
    monkeypatch.setattr(rebuilt_first, "PAUSED_LOOK_S", 0.01)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE ops.projections SET status = 'paused'")
    with newer_release() as follower:
        eventually(lambda: len(looks) > 2)
        assert follower.found is None
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE ops.projections SET status = 'running'")
        eventually(lambda: follower.found == story)


def test_a_consumer_that_is_stopped_before_its_rows_are_right_ends_all_the_same(newer_release, database):
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE ops.projections SET status = 'paused'")
    with newer_release() as follower:
        pass
    assert follower.found is None
    assert not follower.stopped
