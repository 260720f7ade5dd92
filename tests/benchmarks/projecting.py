"""The item analysis of the same scored attempts, kept by our runner, by the library's and by plain SQL."""

import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import Any, ClassVar

import msgspec
import psycopg
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from domain.attempts.events import AttemptScored, AttemptStarted
from domain.events import PositionedEvent
from domain.items.responses import ChosenOptions
from infra.composition import event_codec
from infra.event_store.library import EventLogApplication
from infra.event_store.log_feed import LogFeed
from infra.postgres.roles import PROJECTOR, role_conninfo, with_options
from infra.projections import runner as our_runner
from infra.projections.rebuild import fingerprint
from infra.settings import ProjectionSettings
from projections.item_analysis.projection import ItemAnalysisProjection
from tests.support.postgres import CHECKOUT, ROLE_SECRET
from tests.support.story import BEGIN, Story, a_choice_item, scored_event

EXAMS = 10
ITEMS = 20
LIBRARY_EVENTS_SHARE = 20
"""The library gets one in so many of the events: it would take minutes over all of them."""


@dataclass
class Workload:
    """A log of scored attempts, and the rows as they are before the first of them."""

    conninfo: str
    begin: int
    end: int

    def reset(self) -> None:
        """Nothing is projected; no dead rows of the round before."""
        with psycopg.connect(self.conninfo, autocommit=True) as admin:
            admin.execute("DELETE FROM read.score_distribution")
            admin.execute(
                "UPDATE read.item_statistics SET n = 0, answered = 0, sum_item = 0, sum_item_squared = 0,"
                " sum_item_times_total = 0"
            )
            admin.execute("UPDATE read.option_statistics SET chosen = 0, sum_total = 0")
            admin.execute("UPDATE read.exam_statistics SET n = 0, sum_score = 0, sum_score_squared = 0")
            admin.execute(
                "UPDATE ops.projections SET position = %s WHERE name = 'item_analysis'", [self.begin]
            )
            for table in ItemAnalysisProjection.tables:
                admin.execute(f"VACUUM (FULL, ANALYZE) read.{table}")
            admin.execute("CHECKPOINT")

    def fingerprint(self) -> str:
        with psycopg.connect(self.conninfo, autocommit=True, row_factory=dict_row) as admin:
            return fingerprint(admin, ItemAnalysisProjection())

    @property
    def projector(self) -> str:
        return with_options(role_conninfo(self.conninfo, PROJECTOR, ROLE_SECRET), "-c synchronous_commit=off")


def a_workload(conninfo: str, events: int) -> Workload:
    """Exams, and scored attempts at them, straight into the tables of the log."""
    random, story = Random(1), Story()
    bank = story.bank()
    content = a_choice_item()
    forms = []
    for exam in range(EXAMS):
        items = [story.item(bank, f"e{exam}q{number}", content) for number in range(ITEMS)]
        forms.append((story.exam(items), items))
    begin = len(story.events)
    for number in range(events):
        exam_id, items = forms[number % EXAMS]
        started = AttemptStarted(
            exam_id=exam_id,
            examinee_id=story.new_id("user"),
            ordinal=1,
            started_at=BEGIN,
            deadline=None,
            grace_s=5.0,
        )
        answers = [(item, content, ChosenOptions((random.choice("1234"),))) for item in items]
        story.add(story.new_id("attempt"), scored_event(started, answers))
    _store(conninfo, story.events)
    workload = Workload(conninfo, begin, len(story.events))
    projection = ItemAnalysisProjection()
    with (
        psycopg.connect(workload.projector, row_factory=dict_row) as connection,
        connection.cursor() as cursor,
    ):
        projection.apply(cursor, story.events[:begin])
        cursor.execute(
            "INSERT INTO ops.projections (name, version, position) VALUES (%s, %s, %s)",
            [projection.name, projection.version, begin],
        )
    return workload


def _store(conninfo: str, events: list[PositionedEvent]) -> None:
    codec = event_codec()
    with psycopg.connect(conninfo) as admin, admin.cursor() as cursor:
        into = "COPY log.events (stream_id, version, type, meta, payload, leaf) FROM STDIN"
        with cursor.copy(into) as rows:
            for each in events:
                stored = codec.encode(each.recorded)
                rows.write_row(
                    (stored.stream_id, stored.version, stored.type, stored.meta, stored.payload, stored.leaf)
                )
        cursor.execute(
            "INSERT INTO log.positions (position, append_id, leaf)"
            " SELECT row_number() OVER (ORDER BY append_id), append_id, leaf FROM log.events"
        )
        cursor.execute("ANALYZE log.events, log.positions")


def our_rate(workload: Workload) -> float:
    """Events a second through the real runner over the real feed, with the settings as they are shipped."""
    workload.reset()
    with LogFeed(role_conninfo(workload.conninfo, PROJECTOR, ROLE_SECRET), event_codec()) as feed:
        runner = our_runner.ProjectionRunner(
            ItemAnalysisProjection(),
            feed,
            lambda: psycopg.connect(workload.projector, autocommit=True, row_factory=dict_row),
            batch_size=ProjectionSettings().batch_size,
        )
        feed.head()
        began = perf_counter()
        runner.start()
        while runner.position < workload.end:
            threading.Event().wait(0.001)
        took_s = perf_counter() - began
        assert runner.stop()
    return (workload.end - workload.begin) / took_s


class BenchApplication(EventLogApplication):
    """The library's application over the same log: the reading is as fast as we could make it for it."""

    def __init__(self, env: Any) -> None:
        super().__init__(env["BENCH_CONNINFO"], event_codec())


class View(PostgresTrackingRecorder):
    """Rows and tracking in one transaction, as the library's documentation shows."""

    def apply(self, event: PositionedEvent, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            ItemAnalysisProjection().apply(cursor, [event])
            self._insert_tracking(cursor, tracking)


class LibraryProjection(Projection[View]):
    name = "item_analysis"
    topics = (AttemptScored.type_.stored_name,)
    last: ClassVar[int]
    finished: ClassVar[threading.Event]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.apply(PositionedEvent(tracking.notification_id, domain_event.recorded), tracking)
        if tracking.notification_id == self.last:
            self.finished.set()


def library_rate(workload: Workload) -> float:
    """One event a transaction: the library's way of going exactly once. In a process of its own."""
    workload.reset()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.benchmarks.projecting",
            workload.conninfo,
            str(workload.begin),
            str(workload.end),
        ],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
        check=True,
    )
    return float(done.stdout)


def run_library(workload: Workload) -> None:
    """Prints the rate."""
    parts = conninfo_to_dict(workload.conninfo)
    events = max(1, (workload.end - workload.begin) // LIBRARY_EVENTS_SHARE)
    LibraryProjection.last = workload.begin + events
    LibraryProjection.finished = threading.Event()
    with psycopg.connect(workload.conninfo, autocommit=True) as admin:
        # With its tracking: the runner begins at the first event of its topics.
        admin.execute("DROP SCHEMA IF EXISTS library CASCADE")
        admin.execute("CREATE SCHEMA library")
    env = {
        "BENCH_CONNINFO": workload.conninfo,
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parts["dbname"]),
        "POSTGRES_HOST": str(parts["host"]),
        "POSTGRES_PORT": str(parts["port"]),
        "POSTGRES_USER": str(parts["user"]),
        "POSTGRES_PASSWORD": str(parts.get("password", "")),
        "POSTGRES_SCHEMA": "library",
        "POSTGRES_SINGLE_ROW_TRACKING": "y",
    }
    began = perf_counter()
    with ProjectionRunner(
        application_class=BenchApplication,
        projection_class=LibraryProjection,
        view_class=View,
        env=env,
    ) as runner:
        while not LibraryProjection.finished.wait(0.5):
            runner.run_forever(timeout=0)  # raises what the projection raised
        print(events / (perf_counter() - began), flush=True)


class RawItem(msgspec.Struct):
    item_id: str
    score: int
    response: "RawResponse | None"


class RawResponse(msgspec.Struct):
    options: tuple[str, ...] = ()


class RawScored(msgspec.Struct):
    exam_id: str
    ordinal: int
    score: int
    items: list[RawItem]


RAW_BATCH = 2_000
_RAW_READ = """
    SELECT p.position, e.payload FROM log.positions p JOIN log.events e ON e.append_id = p.append_id
    WHERE p.position > %s AND e.type = 'attempt.scored.v1' ORDER BY p.position LIMIT %s
"""
_RAW_EXAMS = """
    UPDATE read.exam_statistics t SET n = t.n + d.n, sum_score = t.sum_score + d.total,
        sum_score_squared = t.sum_score_squared + d.squares
    FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) d (exam_id, n, total, squares)
    WHERE t.exam_id = d.exam_id
"""
_RAW_ITEMS = """
    UPDATE read.item_statistics t SET n = t.n + d.n, answered = t.answered + d.answered,
        sum_item = t.sum_item + d.total, sum_item_squared = t.sum_item_squared + d.squares,
        sum_item_times_total = t.sum_item_times_total + d.products
    FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::bigint[]) d (exam_id, ordinal, n, answered, total, squares, products)
    WHERE t.exam_id = d.exam_id AND t.ordinal = d.ordinal
"""
_RAW_OPTIONS = """
    UPDATE read.option_statistics t SET chosen = t.chosen + d.chosen, sum_total = t.sum_total + d.total
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
        d (exam_id, item_id, option, chosen, total)
    WHERE t.exam_id = d.exam_id AND t.item_id = d.item_id AND t.option = d.option
"""
_RAW_DISTRIBUTION = """
    INSERT INTO read.score_distribution AS t (exam_id, score, zone_id, org_id, examinees)
    SELECT d.exam_id, d.score, e.zone_id, e.org_id, d.examinees
    FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) d (exam_id, score, examinees)
    JOIN read.exam_statistics e USING (exam_id)
    ON CONFLICT (exam_id, score) DO UPDATE SET examinees = t.examinees + excluded.examinees
"""


def raw_rate(workload: Workload) -> float:
    """The same sums by hand: no types, no metadata, nothing set aside, no second runner thought of."""
    workload.reset()
    decode = msgspec.json.Decoder(RawScored).decode
    began = perf_counter()
    with psycopg.connect(workload.projector, autocommit=True) as connection:
        position = workload.begin
        while position < workload.end:
            rows = connection.execute(_RAW_READ, [position, RAW_BATCH], binary=True, prepare=True).fetchall()
            with connection.transaction():
                _raw_batch(connection, [decode(payload) for _, payload in rows])
                connection.execute(
                    "UPDATE ops.projections SET position = %s WHERE name = 'item_analysis' AND position = %s",
                    [rows[-1][0], position],
                )
            position = rows[-1][0]
    return (workload.end - workload.begin) / (perf_counter() - began)


def _raw_batch(connection: psycopg.Connection[Any], scored: list[RawScored]) -> None:
    exams: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    items: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    options: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    distribution: dict[tuple[str, int], int] = defaultdict(int)
    for event in scored:
        if event.ordinal != 1:
            continue
        exam_id, total = event.exam_id, event.score
        exam = exams[exam_id]
        exam[0] += 1
        exam[1] += total
        exam[2] += total * total
        distribution[exam_id, total] += 1
        for ordinal, item in enumerate(event.items, 1):
            sums = items[exam_id, ordinal]
            sums[0] += 1
            score = item.score
            sums[2] += score
            sums[3] += score * score
            sums[4] += score * total
            if item.response is not None:
                sums[1] += 1
                for option in item.response.options:
                    chosen = options[exam_id, item.item_id, option]
                    chosen[0] += 1
                    chosen[1] += total
    for statement, sums_by_key in ((_RAW_EXAMS, exams), (_RAW_ITEMS, items), (_RAW_OPTIONS, options)):
        rows = sorted(
            (*(key if isinstance(key, tuple) else (key,)), *sums) for key, sums in sums_by_key.items()
        )
        connection.execute(statement, [list(column) for column in zip(*rows, strict=True)], prepare=True)
    rows = sorted((*key, count) for key, count in distribution.items())
    connection.execute(_RAW_DISTRIBUTION, [list(column) for column in zip(*rows, strict=True)], prepare=True)


CONTESTANTS: dict[str, Callable[[Workload], float]] = {
    "ours": our_rate,
    "library": library_rate,
    "raw": raw_rate,
}


if __name__ == "__main__":
    run_library(Workload(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
