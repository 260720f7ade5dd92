"""OpenTelemetry traces, from the client's request to the read model's rows. Off unless the settings say so.

A request's span is the child of what the client's W3C `traceparent` names; the command and the append are
spans within it. The event carries the `traceparent` of the command in its metadata, so whoever takes it up
later (a projection, a consumer of the relayed log) can link its own span to that trace: a batch has events of
many requests, so it is no child of one of them.

The OpenTelemetry packages are imported only where traces are on. Where spans are sent, and how many, is set
by the standard `OTEL_*` variables. Nothing personal is in a span: ids, names of routes and types, counts.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from infra.event_store.feed import FeedPage

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span

MOST_LINKS: Final = 128
"""Of one span: what OpenTelemetry keeps by default."""

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class TracingPackagesMissing(Exception):
    """Traces are on and the packages that make them are not installed."""

    def __init__(self, package: str | None) -> None:
        super().__init__(package)
        self.package = package

    def __str__(self) -> str:
        return (
            f"Traces need the Python package {self.package!r}, which is not installed:"
            ' `make setup EXTRAS="otel"`, or MEGACITY_OTEL__ENABLED=false.'
        )


@contextmanager
def open_tracing(role: str, version: str) -> Iterator["Tracing"]:
    """Spans of this process go to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names.

    What has not been sent when the block ends is sent then. Raises `TracingPackagesMissing`.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise TracingPackagesMissing(error.name) from error
    attributes = {"megacity.role": role, "service.version": version}
    if "OTEL_SERVICE_NAME" not in os.environ:
        attributes["service.name"] = "megacity"
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    # A queue of bounded length, emptied by a thread: a collector that is away costs spans, never requests.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield Tracing(provider)
    finally:
        provider.shutdown()


class Tracing:
    """Makes the spans of one process with a provider of its own: nothing is registered globally."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._nothing = Context()
        self._propagator = TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("megacity")

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator["Span"]:
        """The span of a request; what the client sent as `traceparent`, if anything, is its parent."""
        with (
            self._tracer.start_as_current_span(
                "request",
                context=self._propagator.extract(headers, context=self._nothing),
                kind=self._trace.SpanKind.SERVER,
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            self._told_faults(span),
        ):
            yield span

    @contextmanager
    def step(self, name: str, **attributes: str | int) -> Iterator["Span"]:
        """A span within the current one."""
        with (
            self._tracer.start_as_current_span(
                name,
                attributes={f"megacity.{key}": value for key, value in attributes.items()},
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            self._told_faults(span),
        ):
            yield span

    @contextmanager
    def page(self, projection: str, page: FeedPage) -> Iterator[None]:
        """The span of a batch of a projection, linked to each trace that led to an event of it.

        Where no event of the batch was traced there is none.
        """
        links = self._links(page)
        if not links:
            yield
            return
        with (
            self._tracer.start_as_current_span(
                f"project {projection}",
                context=self._nothing,
                kind=self._trace.SpanKind.CONSUMER,
                links=links,
                attributes={
                    "megacity.projection": projection,
                    "megacity.events": len(page.events),
                    "megacity.up_to_position": page.up_to,
                },
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            self._told_faults(span),
        ):
            yield

    def traceparent(self) -> str | None:
        """Of the current span, for those who come later; None where it is not recorded."""
        found = self._trace.get_current_span().get_span_context()
        if not found.is_valid or not found.trace_flags.sampled:
            return None
        return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"

    def fail(self, span: "Span", what: str) -> None:
        """Marks a span as failed."""
        span.set_status(self._trace.StatusCode.ERROR, what)

    @contextmanager
    def _told_faults(self, span: "Span") -> Iterator[None]:
        # The kind of a fault and not its text, which may quote what somebody entered.
        try:
            yield
        except Exception as error:
            self.fail(span, type(error).__name__)
            raise

    def _links(self, page: FeedPage) -> list["Link"]:
        """One for each trace, to the first event of it."""
        parents: dict[str, Any] = {}
        for each in page.events:
            parent = _TRACEPARENT.fullmatch(each.recorded.metadata.trace or "")
            if parent is not None:
                parents.setdefault(parent[1], parent)
        return [
            self._trace.Link(
                self._trace.SpanContext(
                    trace_id=int(parent[1], 16),
                    span_id=int(parent[2], 16),
                    is_remote=True,
                    trace_flags=self._trace.TraceFlags(int(parent[3], 16)),
                )
            )
            for parent in islice(parents.values(), MOST_LINKS)
        ]
