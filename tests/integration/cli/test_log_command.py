"""`megacity log` on a database with a story in its log."""

import hashlib
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.rows import dict_row
from typer.testing import CliRunner

from infra.cli.main import app
from infra.event_store.leaves import leaf_hash
from infra.event_store.log_feed import LogFeed
from infra.log_reading import export, parquet
from infra.log_reading import scan as scanning
from infra.log_reading.figures import last_before
from infra.log_reading.filters import LogFilter
from infra.postgres.roles import PROJECTOR, role_conninfo
from projections.audit import actions
from projections.audit.projection import AuditProjection
from tests.support.postgres import ROLE_SECRET, run_folder
from tests.support.stored_story import store, with_metadata
from tests.support.story import BEGIN, ORG, Story, a_whole_story

TEACHER = "user-019cabcd-0000-7000-8000-00000000feed"


@pytest.fixture
def story(database):
    """Every third event is a teacher's; the last ones are of another zone and a day later."""
    story = a_whole_story(4)
    for index in range(0, len(story.events), 3):
        story.events[index] = with_metadata(story.events[index], actor=TEACHER)
    for index in range(len(story.events) - 5, len(story.events)):
        later = story.events[index].recorded.metadata.recorded_at + timedelta(days=1)
        story.events[index] = with_metadata(story.events[index], zone_id="kzone", recorded_at=later)
    store(database, story)
    return story


@pytest.fixture
def settings(database, monkeypatch):
    """The command line's own folder, for the test's database."""
    with run_folder("log-command") as folder:
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))
        yield folder


@pytest.fixture
def megacity(settings):  # noqa: ARG001 - the environment that the command line finds
    def run(*arguments, status=0):
        done = CliRunner().invoke(app, ["log", *map(str, arguments)])
        assert done.exit_code == status, done.output
        return done

    return run


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def positions(done):
    return [line["position"] for line in lines(done)]


def where(story, test):
    return [each.position for each in story.events if test(each.recorded)]


def test_the_tail_is_the_newest_events_in_order(megacity, story):
    head = len(story.events)
    assert positions(megacity("tail", "-n", 7, "--json")) == list(range(head - 6, head + 1))
    assert len(megacity("tail", "-n", 7).stdout.splitlines()) == 7


def test_a_line_holds_the_bytes_that_the_leaf_hash_is_of(megacity, story):
    done = megacity("tail", "-n", 10_000, "--json")
    for text, each in zip(done.stdout.splitlines(), story.events, strict=True):
        line = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        recorded, meta, data = each.recorded, bytes(line["meta"]), bytes(line["data"])
        event_id = recorded.metadata.event_id
        expected = leaf_hash(
            recorded.stream_id,
            recorded.version,
            recorded.event.type_.stored_name,
            meta,
            event_id,
            data,
        )
        assert msgspec.json.decode(line["leaf"]) == expected.hex()


FILTERS = {
    ("--actor", TEACHER): lambda each: each.metadata.actor.id == TEACHER,
    ("--action", "create"): lambda each: (
        each.version == 1 and each.category in {"attempt", "exam", "item", "item_bank", "user"}
    ),
    ("--zone", "kzone"): lambda each: each.metadata.zone_id == "kzone",
    ("--type", "exam.published"): lambda each: type(each.event).__name__ == "ExamPublished",
    ("--type", "exam.published.v1"): lambda each: type(each.event).__name__ == "ExamPublished",
    ("--category", "attempt"): lambda each: each.category == "attempt",
    ("--since", "2026-03-03"): lambda each: each.metadata.recorded_at.day == 3,
    ("--until", "2026-03-03T00:00:00Z"): lambda each: each.metadata.recorded_at.day == 2,
    ("--actor", TEACHER, "--action", "update", "--zone", "univprep"): lambda each: (
        each.metadata.actor.id == TEACHER
        and each.version > 1
        and each.metadata.zone_id == "univprep"
        and type(each.event).__name__ != "ParametersPromoted"  # that is an approval
    ),
}


@pytest.mark.parametrize("options", FILTERS, ids=" ".join)
def test_tail_and_export_choose_the_same_events(megacity, settings, story, options):
    expected = where(story, FILTERS[options])
    assert 0 < len(expected) < len(story.events)
    assert positions(megacity("tail", "-n", 10_000, "--json", *options)) == expected
    assert positions(megacity("tail", "-n", 2, "--json", *options)) == expected[-2:]
    megacity("export", settings / "chosen.jsonl", "--force", *options)
    exported = (settings / "chosen.jsonl").read_text().splitlines()
    assert [json.loads(line)["position"] for line in exported] == expected


@pytest.fixture
def audited(database, story):
    """The audit projection has seen all but the last four events."""
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    with psycopg.connect(conninfo, row_factory=dict_row) as connection, connection.cursor() as cursor:
        AuditProjection().apply(cursor, story.events[:-4])
        cursor.execute(
            "INSERT INTO ops.projections (name, version, position) VALUES ('audit', 1, %s)",
            [len(story.events) - 4],
        )
    return story


@pytest.mark.parametrize("options", FILTERS, ids=" ".join)
def test_a_search_finds_what_the_same_filters_choose_in_the_log(megacity, audited, options):
    expected = [each for each in where(audited, FILTERS[options]) if each <= len(audited.events) - 4]
    done = megacity("search", "-n", 10_000, "--json", *options)
    assert positions(done) == expected
    assert "4 newer events are not in the audit projection yet" in done.stderr
    assert positions(megacity("search", "-n", 3, "--json", *options)) == expected[-3:]


def test_a_search_shows_who_did_what(megacity, audited):
    shown = megacity("search", "-n", 1, "--actor", TEACHER, "--action", "create").stdout
    assert TEACHER in shown
    assert " create " in shown
    assert shown.count("\n") == 1
    assert len(audited.events) > 4


def test_following_shows_what_comes_later_and_only_what_was_chosen(megacity, database, monkeypatch):
    story = Story()
    story.bank("there before")
    store(database, story)
    waits = []

    def wait(_feed, after, _timeout_s):
        """While the command waits the first time, something is appended; the second time it is ended."""
        waits.append(after)
        if len(waits) == 2:
            raise KeyboardInterrupt
        known = len(story.events)
        story.person(("teacher", ORG))
        story.bank("not asked for")
        story.person()
        store(database, story, after=known)

    monkeypatch.setattr(LogFeed, "wait", wait)
    done = megacity("tail", "--follow", "--json", "--category", "user", status=130)
    assert positions(done) == [2, 3, 5]
    assert waits == [1, 5]


def test_an_export_is_whole_or_not_there(megacity, settings, story, monkeypatch):
    target = settings / "all.jsonl"
    target.write_text("what was there before")

    def fail(self, event):
        if event.position == 20:
            raise OSError(28, "No space left on device")
        write(self, event)

    write = export._JsonLines.write
    monkeypatch.setattr(export._JsonLines, "write", fail)
    done = megacity("export", target, "--force", status=1)
    assert "No space left on device" in done.stderr
    assert target.read_text() == "what was there before"
    assert [path.name for path in settings.iterdir() if "partial" in path.name] == []

    monkeypatch.setattr(export._JsonLines, "write", write)
    assert f"{len(story.events)} events written" in megacity("export", target, "--force").stderr
    assert len(target.read_text().splitlines()) == len(story.events)
    assert target.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("story")
def test_what_is_there_already_is_replaced_only_when_that_is_said(megacity, settings):
    target = settings / "all.jsonl"
    target.write_text("an earlier export")
    assert "is there already" in megacity("export", target, status=2).stderr
    assert target.read_text() == "an earlier export"


@pytest.mark.usefixtures("story")
def test_a_pipe_or_a_device_is_never_replaced_by_a_file(megacity, settings):
    pipe = settings / "pipe.jsonl"
    os.mkfifo(pipe)
    assert "is no ordinary file" in megacity("export", pipe, "--force", status=2).stderr
    assert pipe.is_fifo()


@pytest.mark.usefixtures("story")
def test_an_export_goes_where_a_link_leads(megacity, settings):
    link, target = settings / "link.jsonl", settings / "target.jsonl"
    link.symlink_to(target)
    megacity("export", link, "--up-to", 3)
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 3
    target.unlink()
    target.symlink_to(link)
    assert "cannot be written" in megacity("export", link, status=1).stderr


@pytest.mark.usefixtures("story")
def test_a_name_that_no_file_can_have_is_told_in_a_sentence(megacity, settings):
    done = megacity("export", settings / ("x" * 300 + ".jsonl"), status=1)
    assert "cannot be written: File name too long" in done.stderr


@pytest.mark.usefixtures("story")
def test_standard_output_that_is_full_is_told_in_a_sentence(settings):  # noqa: ARG001 - the environment
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("there is no /dev/full here")
    command = [sys.executable, "-m", "infra.cli.main", "log", "export", "-"]
    with full.open("wb") as stdout:
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "Standard output cannot be written: No space left on device" in done.stderr
    assert "unexpected" not in done.stderr


def test_one_export_goes_on_where_another_ended(megacity, settings, story):
    parts = [settings / "first.jsonl", settings / "second.jsonl"]
    first = megacity("export", parts[0], "--up-to", 30)
    assert "--after 30" in first.stderr
    megacity("export", parts[1], "--after", 30)
    text = "".join(part.read_text() for part in parts)
    assert [json.loads(line)["position"] for line in text.splitlines()] == list(
        range(1, len(story.events) + 1)
    )


def test_an_export_to_standard_output_is_nothing_but_the_lines(megacity, story):
    assert positions(megacity("export", "-", "--category", "exam")) == where(
        story, lambda each: each.category == "exam"
    )


def test_a_parquet_file_holds_the_same_events(megacity, settings, story, monkeypatch):
    monkeypatch.setattr(parquet, "ROWS_IN_A_GROUP", 16)
    megacity("export", settings / "all.parquet")
    file = pq.ParquetFile(settings / "all.parquet")
    assert file.metadata.num_row_groups > 1
    rows = file.read().to_pylist()
    assert [row["position"] for row in rows] == list(range(1, len(story.events) + 1))
    for row, each in zip(rows, story.events, strict=True):
        metadata = each.recorded.metadata
        assert row["recorded_at"] == metadata.recorded_at
        assert (row["actor_kind"], row["actor_id"]) == (metadata.actor.kind, metadata.actor.id)
        assert (row["zone_id"], row["event_id"]) == (metadata.zone_id, metadata.event_id)
        header = json.dumps([row["stream_id"], row["version"], row["type"]], separators=(",", ":"))
        inner = hashlib.sha256(header[:-1].encode() + b"," + row["meta"] + b"]").digest()
        payload = hashlib.sha256(row["event_id"].encode() + row["data"]).digest()
        assert row["leaf"] == hashlib.sha256(b"\x00\x01" + inner + payload).digest()


@pytest.mark.usefixtures("story")
def test_without_the_package_a_parquet_export_says_how_to_get_it(megacity, settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    done = megacity("export", settings / "all.parquet", status=2)
    assert "pyarrow" in done.stderr
    assert 'make setup EXTRAS="export"' in done.stderr
    assert not (settings / "all.parquet").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["export", "somewhere.csv"], "does not say which format"),
        (["export", "no/such/folder/x.jsonl"], "There is no folder"),
        (["export", "-", "--format", "parquet"], "cannot be written to standard output"),
        (["tail", "--since", "yesterday"], "is no moment"),
        (["tail", "--since", "999999d"], "is before all time"),
        (["tail", "--since", "2026-03-02", "--until", "2026-03-01"], "Nothing can be recorded"),
        (["search", "--since", "2026-03-02", "--until", "2026-03-02"], "Nothing can be recorded"),
        (["export", "-", "--after", "5", "--up-to", "5"], "No position is beyond 5 and up to 5"),
        (["export", "-", "--after", "100000"], "The log ends at position 0"),
        (["show", "nonsense"], "is not a stream id"),
        (["show", "user-019cabcd-0000-7000-8000-00000000dead"], "There is no stream"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(megacity, words, sentence):
    assert sentence in " ".join(megacity(*words, status=2).stderr.replace("│", " ").split())


def test_events_that_nobody_can_read_are_shown_and_exported_all_the_same(megacity, database, story):
    with psycopg.connect(database, autocommit=True) as admin:
        for number, (meta, payload) in enumerate([(b"{}", b"\xff\xfe"), (b"no json", b'{"a":\n1}\x1b[31m')]):
            admin.execute(
                """WITH written AS (
                       INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
                       VALUES ('user-019cabcd-0000-7000-8000-00000000bad0', %s, 'user.unheard_of.v9', %s, %s,
                               sha256('')) RETURNING append_id, leaf)
                   INSERT INTO log.positions SELECT %s, append_id, leaf FROM written""",
                [number + 1, meta, payload, len(story.events) + number + 1],
            )
    shown = megacity("tail", "-n", 2).stdout
    assert "(unreadable)" in shown
    assert "\x1b" not in shown, "nothing that is stored gives orders to a terminal"
    assert "\\x1b[31m" in shown
    first, second = lines(megacity("export", "-", "--after", len(story.events)))
    assert (first["meta"], first["data_base64"], first["action"]) == ({}, "//4=", None)
    assert (second["meta_base64"], second["data_base64"]) == ("bm8ganNvbg==", "eyJhIjoKMX0bWzMxbQ==")


def test_an_event_without_a_time_zone_is_no_trouble_for_those_who_ask_about_times(megacity, database, story):
    meta = msgspec.json.encode(story.events[0].recorded.metadata).replace(b'Z"', b'"')
    assert msgspec.json.decode(meta)["recorded_at"].count("+") == 0
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            """WITH written AS (
                   INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
                   VALUES ('user-019cabcd-0000-7000-8000-00000000bad0', 1, 'user.registered.v1', %s, '{}',
                           sha256('')) RETURNING append_id, leaf)
               INSERT INTO log.positions SELECT %s, append_id, leaf FROM written""",
            [meta, len(story.events) + 1],
        )
    later = where(story, lambda each: each.metadata.recorded_at.day == 3)
    assert positions(megacity("tail", "--since", "2026-03-03", "--json")) == later
    assert "(unreadable)" in megacity("tail", "-n", 1).stdout
    assert json.loads(megacity("stats", "--json").stdout)["head"] == len(story.events) + 1


def test_an_action_is_found_also_where_the_name_of_the_event_begins_with_a_v(
    megacity, database, story, monkeypatch
):
    monkeypatch.setattr(actions, "ACTIONS", {**actions.ACTIONS, "exam.voided": "delete"})
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            """WITH written AS (
                   INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
                   VALUES ('exam-019cabcd-0000-7000-8000-00000000bad0', 2, 'exam.voided.v1', '{}', '{}',
                           sha256('')) RETURNING append_id, leaf)
               INSERT INTO log.positions SELECT %s, append_id, leaf FROM written""",
            [len(story.events) + 1],
        )
    assert positions(megacity("tail", "--action", "delete", "--json")) == [len(story.events) + 1]
    assert positions(megacity("tail", "--type", "exam", "--json")) == []


def test_a_stream_is_shown_with_its_positions_also_where_there_is_none_yet(megacity, database, story):
    attempt = next(each.recorded.stream_id for each in story.events if each.recorded.category == "attempt")
    expected = where(story, lambda each: each.stream_id == attempt)
    assert positions(megacity("show", attempt, "--json")) == expected
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            """INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
               SELECT stream_id, version + 1, type, meta, payload, leaf FROM log.events
               WHERE stream_id = %s ORDER BY version DESC LIMIT 1""",
            [attempt],
        )
    assert positions(megacity("show", attempt, "--json")) == [*expected, None]
    assert megacity("show", attempt).stdout.splitlines()[-1].strip().startswith("-")


def test_the_figures_count_events_bytes_and_what_has_no_position(megacity, database, story):
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            """INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
               SELECT stream_id, version + 9000, type, meta, payload, leaf FROM log.events LIMIT 3"""
        )
        [(size,)] = admin.execute(
            "SELECT sum(octet_length(meta) + octet_length(payload)) FROM log.events"
        ).fetchall()
    found = json.loads(megacity("stats", "--json").stdout)
    assert found["head"] == len(story.events)
    assert found["events"] == len(story.events) + 3
    assert found["unsequenced"] == 3
    assert sum(each["bytes"] for each in found["types"]) == size
    assert set(found["per_second"]) == {"last minute", "last hour", "last day"}
    shown = megacity("stats").stdout
    assert "all of attempt" in shown
    assert "3 events without a position" in shown


def test_the_rate_is_that_of_the_events_recorded_since():
    moments = [BEGIN + timedelta(seconds=each) for each in range(100)]
    found = last_before(BEGIN + timedelta(seconds=90), 100, lambda position: moments[position - 1])
    assert found == 90
    assert last_before(BEGIN, 100, lambda position: moments[position - 1]) == 0
    assert last_before(BEGIN, 0, lambda _: pytest.fail("there is nothing to look at")) == 0


def test_a_long_log_is_scanned_in_stretches_and_told_of(database, story, monkeypatch):
    told = []
    monkeypatch.setattr(scanning, "STRETCH", 10)
    with psycopg.connect(database, autocommit=True) as connection:
        found = list(scanning.scan(connection, LogFilter(after=3), up_to=len(story.events), tell=told.append))
    assert [each.position for each in found] == list(range(4, len(story.events) + 1))
    assert told == [*range(13, len(story.events), 10), len(story.events)]
