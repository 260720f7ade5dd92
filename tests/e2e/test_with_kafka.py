"""`megacity up --with-kafka`: each role in a process of its own, Kafka between them, and the same results."""

import contextlib
import csv
import json
import random
import re
from collections import Counter

import httpx
import psutil
import pytest

from infra.kafka.python_client import PythonKafka
from tests.support.api import eventually
from tests.support.processes import finished
from tests.support.relayed import PARTITIONS, applied, read_all
from tests.support.system import installation

ROLES = ("sequencer", "projector", "relay", "consumer", "cat-engine", "deadlines", "api")
ITEMS, EXAMINEES = 5, 50
ID = re.compile(r"\b(?:[a-z_]+-)?(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32})\b")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")
# What each stream is called by people, which is the same wherever it is played.
NAMES = """
    SELECT item_id, 'item ' || code FROM read.item_versions
    UNION ALL SELECT exam_id, 'exam ' || (title->>'ko') FROM read.exams
    UNION ALL SELECT bank_id, 'bank ' || name FROM read.item_banks
    UNION ALL SELECT user_id, 'person ' || coalesce(email, display_name) FROM read.people
    UNION ALL SELECT attempt_id, 'attempt of ' || display_name
        FROM read.attempts JOIN read.people ON examinee_id = user_id
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The words that have made-up answers played under a name."""
    folder = tmp_path_factory.mktemp("data")
    chance = random.Random(20261124)
    codes = [f"q{number}" for number in range(1, ITEMS + 1)]
    with (folder / "responses.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["examinee", *codes])
        for number in range(EXAMINEES):
            table.writerow([f"e{number}", *chance.choices("1239", weights=[5, 3, 2, 1], k=ITEMS)])
    with (folder / "key.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("item", "key"), *((code, "1") for code in codes)])

    def words(name):
        return [
            *("sample", "play", "--json", "--name", name, "--missing", "9", "--concurrency", "4"),
            *("--responses", str(folder / "responses.csv"), "--key", str(folder / "key.csv")),
        ]

    return words


def report_of(printed):
    """What was printed, but for what is another each time."""
    report = json.loads(printed)
    return {name: value for name, value in report.items() if not name.endswith(("_id", "_s"))}


def log_length(place):
    [[head]] = place.query("SELECT count(*) FROM log.events")
    return head


def rows_of(place):
    """The rows of every read model as a multiset, ids replaced by what they stand for.

    Without what the system notes of itself: how often permits are counted is a matter of time.
    """
    tables = place.query(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'read' AND c.relkind = 'r' ORDER BY 1"
    )
    names = dict(place.query(NAMES))

    def shown(row):
        row.pop("position", None)
        text = json.dumps(row, sort_keys=True, ensure_ascii=False)
        return TIME.sub("a time", ID.sub(lambda found: names.get(found[0], "an id"), text))

    return {
        table: Counter(
            shown(row)
            for (row,) in place.query(f"SELECT to_jsonb(t) FROM read.{table} t")
            if row.get("resource_category") != "observation"
        )
        for (table,) in tables
        if table != "access_decisions"
    }


def every_event_is_in_the_audit_log_once(place):
    [[entries, positions]] = place.query("SELECT count(*), count(DISTINCT position) FROM read.audit_entries")
    return entries == positions == log_length(place)


def every_read_model_is_at_the_end(place):
    """The audit log alone may be ahead of the read models that say what a stream is called."""
    [[behind]] = place.query(
        "SELECT count(*) FROM ops.projections"
        " WHERE name <> 'audit' AND position < (SELECT max(position) FROM log.positions)"
    )
    return behind == 0 and every_event_is_in_the_audit_log_once(place)


@pytest.fixture(scope="module")
def embedded(played):
    """Report and rows of the play where everything runs in one process, without Kafka."""
    with installation(MEGACITY_HTTP__PORT="0") as place, place.up():
        report = report_of(place.run(*played("undisturbed")))
        eventually(lambda: every_read_model_is_at_the_end(place))
        return report, rows_of(place)


@pytest.fixture(scope="module")
def place():
    with installation(MEGACITY_HTTP__PORT="0", MEGACITY_KAFKA__PARTITIONS=str(PARTITIONS)) as made:
        made.environment.pop("KAFKA_BOOTSTRAP_SERVERS", None)
        yield made


@pytest.fixture(scope="module")
def up(place):
    with place.up("--with-kafka") as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(place, up, played):
    assert up.process.poll() is None
    return report_of(place.run(*played("undisturbed")))


def first_with(words, processes):
    """The process with these words in its command line; None where there is none."""
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if words in " ".join(each.cmdline()):
                return each
    return None


def process_of(up, words):
    return first_with(words, psutil.Process(up.process.pid).children(recursive=True))


def figures_of(up, role):
    address = re.search(rf"^ +{role} .*(http://\S+)/readyz", up.output, re.MULTILINE)[1]
    return httpx.get(f"{address}/metrics", trust_env=False, timeout=10).text


def positions_in_kafka(up):
    """Of all events that somebody would apply who reads Kafka from the beginning."""
    kafka = PythonKafka(bootstrap_servers=re.search(r"^ +Kafka +(\S+)", up.output, re.MULTILINE)[1])
    found = read_all(kafka, "megacity")
    return sorted(
        int(each.headers["position"])
        for messages in found.values()
        for each in applied(messages, after_loss=True)
    )


def test_each_role_runs_in_a_process_of_its_own(up):
    assert len({process_of(up, f"serve {role}").pid for role in ROLES}) == len(ROLES)
    assert process_of(up, "tansu broker") is not None


def test_the_same_play_gives_the_same_report_and_the_same_rows(embedded, undisturbed, place):
    report, rows = embedded
    eventually(lambda: every_read_model_is_at_the_end(place), within_s=30)

    assert undisturbed == report
    assert report["analysis"]["n"] == EXAMINEES
    found = rows_of(place)
    assert found.keys() == rows.keys()
    for table in rows:
        assert found[table] == rows[table], table
    assert sum(rows["attempt_responses"].values()) > EXAMINEES


def test_the_audit_entries_came_through_kafka_and_the_rest_from_the_log(undisturbed, place, up):
    assert undisturbed
    eventually(lambda: every_event_is_in_the_audit_log_once(place), within_s=30)

    kept = dict(place.query("SELECT topic, max(position) FROM ops.consumer_partitions GROUP BY topic"))
    assert kept["megacity.attempt.v1"] > 0
    assert kept["megacity.user.v1"] > 0
    assert 'megacity_consumer_events_handled_total{consumer="audit"}' in figures_of(up, "consumer")
    by_the_projector = figures_of(up, "projector")
    assert 'events_applied_total{projection="attempts"}' in by_the_projector
    assert 'events_applied_total{projection="audit"}' not in by_the_projector


def test_the_consumers_process_tells_how_far_its_read_model_is(undisturbed, place, up):
    assert undisturbed
    eventually(lambda: every_event_is_in_the_audit_log_once(place), within_s=30)
    address = re.search(r"^ +consumer .*(http://\S+)/readyz", up.output, re.MULTILINE)[1]

    def lag():
        told = httpx.get(f"{address}/readyz", trust_env=False, timeout=10).json()["projections"]
        return {each["name"]: each["lag"] for each in told}["audit"]

    eventually(lambda: lag() == 0, within_s=30)


def test_killed_relay_consumer_and_broker_make_no_difference(undisturbed, place, up, played):
    before = log_length(place)
    player = place.start(*played("disturbed"))
    killed = {}
    for words, events in (("serve relay", 80), ("serve consumer", 160), ("tansu broker", 240)):
        eventually(lambda least=events: log_length(place) - before > least or player.poll() is not None)
        assert player.poll() is None, "it was over before it could be disturbed"
        killed[words] = process_of(up, words)
        killed[words].kill()
    report = report_of(finished(player))

    assert report["analysis"] == undisturbed["analysis"]
    for words, process in killed.items():
        again = eventually(lambda found=words: process_of(up, found), within_s=30)
        assert again.pid != process.pid
    eventually(lambda: every_event_is_in_the_audit_log_once(place), within_s=60)
    # Each time anew: what the walls count of themselves is added now and then.
    eventually(
        lambda: positions_in_kafka(up) == list(range(1, log_length(place) + 1)), within_s=60, every_s=0.5
    )
    place.run("projection", "verify", "--all")
    # Nor did the checker in the background take rows for wrong that were only ahead of others.
    assert place.query("SELECT * FROM ops.checker_differences") == []


def test_what_is_killed_leaves_nothing_behind_and_one_more_start_does_its_job_and_ends(place, up):
    up.kill()
    eventually(
        lambda: not any(first_with(words, place.processes()) for words in ("serve ", "tansu")), within_s=30
    )

    place.run("up", "--with-kafka", "--once", "--no-sample")

    assert place.processes() == []
    place.run("projection", "verify", "audit")
