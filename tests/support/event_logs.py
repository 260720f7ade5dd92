"""Event logs for tests: opened over a database, and small events to put into them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import uuid_utils

from commands.ports import NewEvent, StreamAppend
from domain.event_types import EVENTS
from domain.events import Actor, Event, EventMetadata, RecordedEvent
from domain.identifiers import stream_id
from domain.users.events import ProfileChanged
from infra.event_store.append_log import PostgresEventLog
from infra.event_store.codec import EventCodec, PlainPersonalCodec
from infra.observability.metrics import EventStoreMetrics, new_registry
from infra.postgres.roles import WRITER, role_conninfo
from tests.support.postgres import ROLE_SECRET

CODEC = EventCodec(EVENTS, PlainPersonalCodec())
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def new_id() -> str:
    return str(uuid_utils.uuid7())


@asynccontextmanager
async def event_log(database: str, **options: Any) -> AsyncIterator[PostgresEventLog]:
    """`database` is the administrator's conninfo; `options` are those of `PostgresEventLog`."""
    conninfo = role_conninfo(database, WRITER, ROLE_SECRET)
    metrics = options.pop("metrics", None) or EventStoreMetrics.create(new_registry())
    async with PostgresEventLog(conninfo, CODEC, metrics, **{"queue_limit": 1000, **options}) as log:
        yield log


def new(event: Event, **metadata: Any) -> NewEvent:
    known: dict[str, Any] = {
        "event_id": new_id(),
        "actor": Actor("operator", "test"),
        "zone_id": "univprep",
        "org_id": None,
        "correlation_id": "c",
        "causation_id": "k",
        "recorded_at": NOON,
    }
    return NewEvent(EventMetadata(**{**known, **metadata}), event)


def named(name: str) -> NewEvent:
    return new(ProfileChanged(display_name=name, language="ko"))


def user() -> str:
    return stream_id("user", new_id())


def names(recorded: Sequence[RecordedEvent]) -> list[str]:
    return [event.event.display_name for event in recorded]  # type: ignore[attr-defined]


def first(someone: str, *words: str) -> list[StreamAppend]:
    """The beginning of a stream."""
    return [StreamAppend(someone, 0, tuple(named(word) for word in words))]


def after(version: int, someone: str, *words: str) -> list[StreamAppend]:
    return [StreamAppend(someone, version, tuple(named(word) for word in words))]
