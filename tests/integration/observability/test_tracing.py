"""One trace from the client's request to the read model's rows, and none where traces are off."""

import subprocess
import sys

import httpx
import psycopg
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from infra.event_store.feed import FeedPage
from infra.event_store.stored_log import StoredRow
from infra.kafka.relayed import headers_of
from infra.observability.tracing import MOST_LINKS, Tracing, TracingPackagesMissing, open_tracing
from tests.support.api import eventually, running_api
from tests.support.postgres import CHECKOUT, run_folder
from tests.support.stored_story import with_metadata
from tests.support.story import a_whole_story

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"}


@pytest.fixture(scope="module")
def exporter():
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def tracing(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Tracing(provider)
    provider.shutdown()


@pytest.fixture
def api(database, tracing, exporter):
    with run_folder("tracing") as folder, running_api(database, folder / "var", tracing=tracing) as running:
        exporter.clear()
        yield running


@pytest.fixture
def teacher(api):
    return api.school().teacher


def in_trace(exporter, trace_id=TRACE_ID):
    return [span for span in exporter.get_finished_spans() if span.context.trace_id == int(trace_id, 16)]


def linked_to(exporter, trace_id=TRACE_ID):
    wanted = int(trace_id, 16)
    return [
        span
        for span in exporter.get_finished_spans()
        if any(link.context.trace_id == wanted for link in span.links)
    ]


def named(exporter, name):
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_a_request_is_one_trace_from_the_client_to_the_rows_of_the_read_models(teacher, exporter):
    answer = teacher.http.post("/item-banks", json={"name": "Traced"}, headers=SAMPLED)
    assert answer.status_code == 201
    eventually(
        lambda: (
            {"project catalogue", "project audit"} <= {span.name for span in linked_to(exporter)}
            and named(exporter, "POST /api/v1/item-banks")
        )
    )
    projected = linked_to(exporter)
    spans = {span.name: span for span in in_trace(exporter)}
    request, command, append = (
        spans[name] for name in ("POST /api/v1/item-banks", "command on item_bank", "append")
    )
    assert f"{request.parent.span_id:016x}" == PARENT_ID
    assert request.kind is SpanKind.SERVER
    assert request.attributes["http.response.status_code"] == 201
    assert request.attributes["megacity.request_id"] == answer.headers["X-Request-Id"]
    assert command.parent.span_id == request.context.span_id
    assert append.parent.span_id == command.context.span_id
    for span in projected:
        [link] = [each for each in span.links if each.context.trace_id == int(TRACE_ID, 16)]
        assert link.context.span_id == command.context.span_id
        assert link.context.is_remote
        assert span.parent is None
        assert span.end_time >= append.end_time


def test_the_event_and_its_message_carry_the_trace(api, teacher, database):
    answer = teacher.http.post("/item-banks", json={"name": "Traced"}, headers=SAMPLED)
    [recorded] = api.recorded(answer.json()["bank_id"])
    assert recorded.metadata.trace.startswith(f"00-{TRACE_ID}-")
    assert recorded.metadata.trace.endswith("-01")
    with psycopg.connect(database) as admin:
        row = admin.execute(
            "SELECT 7, stream_id, version, type, meta, payload FROM log.events WHERE stream_id = %s",
            [recorded.stream_id],
        ).fetchone()
    headers = dict(headers_of(StoredRow(*row), 0))
    assert headers["traceparent"].decode() == recorded.metadata.trace


def test_a_request_that_is_not_sampled_leaves_nothing_behind(api, teacher, exporter):
    answer = teacher.http.post("/item-banks", json={"name": "Quiet"}, headers=NOT_SAMPLED)
    [recorded] = api.recorded(answer.json()["bank_id"])
    assert recorded.metadata.trace is None
    assert in_trace(exporter) == []


def test_a_trace_that_cannot_be_read_begins_a_new_one(teacher, exporter):
    headers = {"traceparent": "00-nonsense"}
    assert teacher.http.get("/item-banks", headers=headers).status_code == 200
    [span] = eventually(lambda: named(exporter, "GET /api/v1/item-banks"))
    assert span.parent is None


def test_what_operators_poll_is_not_traced(api, teacher, exporter):
    for path in ("/healthz", "/readyz", "/metrics"):
        httpx.get(f"{api.base_url}{path}", headers=SAMPLED, trust_env=False)
    other = {"traceparent": SAMPLED["traceparent"].replace("4bf9", "5bf9")}
    teacher.http.get("/item-banks", headers=other)
    eventually(lambda: named(exporter, "GET /api/v1/item-banks"))
    assert in_trace(exporter) == []


def test_no_span_holds_what_somebody_entered(api, exporter):
    person = api.person()
    secret = "never to be seen in a span"
    person.http.patch("/users/me", json={"display_name": secret}, headers=SAMPLED)
    person.http.post("/auth/login", json={"email": "minji@example.org", "password": secret}, headers=SAMPLED)
    spans = eventually(lambda: in_trace(exporter) if len(in_trace(exporter)) > 1 else None)
    told = "".join(span.to_json() for span in [*spans, *linked_to(exporter)])
    assert secret not in told
    assert "minji" not in told


def test_a_fault_marks_its_span_and_tells_its_kind_alone(tracing, exporter):
    exporter.clear()
    with pytest.raises(ValueError), tracing.step("work"):
        raise ValueError("quotes a name")
    [span] = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ValueError"
    assert "quotes a name" not in span.to_json()


def test_a_long_batch_is_linked_to_a_bounded_number_of_traces(tracing, exporter):
    events = a_whole_story(4).events
    marked = [
        with_metadata(each, trace=f"00-{number // 2 + 1:032x}-{number + 1:016x}-01")
        for number, each in enumerate((events * 9)[: MOST_LINKS * 4])
    ]
    exporter.clear()
    with tracing.page("people", FeedPage(marked[: MOST_LINKS * 4], 9)):
        pass
    [span] = exporter.get_finished_spans()
    assert len(span.links) == MOST_LINKS
    assert len({link.context.trace_id for link in span.links}) == MOST_LINKS
    exporter.clear()
    with tracing.page("people", FeedPage(events, 9)):
        pass
    assert exporter.get_finished_spans() == ()


def test_without_traces_nothing_that_makes_spans_is_imported_and_events_hold_no_trace(database):
    with run_folder("untraced") as folder, running_api(database, folder / "var") as api:
        answer = api.school().teacher.http.post("/item-banks", json={"name": "Plain"}, headers=SAMPLED)
        [recorded] = api.recorded(answer.json()["bank_id"])
    assert recorded.metadata.trace is None
    # FastAPI imports the interfaces by itself where they are installed: what makes spans is what counts.
    code = (
        "import sys, infra.composition, infra.cli.serve\n"
        "makers = ('opentelemetry.sdk', 'opentelemetry.exporter')\n"
        "sys.exit(any(name.startswith(makers) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=False).returncode == 0


def test_traces_without_their_packages_are_refused_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingPackagesMissing) as caught, open_tracing("all", "1"):
        pass
    assert 'make setup EXTRAS="otel"' in str(caught.value)


def test_a_collector_that_is_away_holds_up_nobody(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with open_tracing("all", "1") as opened, opened.step("work"):
        assert opened.traceparent() is not None
