"""What operators and the system itself do to a projection. Each projection has one stream of these.

No event here holds an error's text: it may quote what the failing event says about a person. The sentence
lies beside the event that was set aside, outside the log.
"""

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId


@event_type("system.projection_paused", retention=Retention.STATE)
class ProjectionPaused(Event, frozen=True, kw_only=True):
    """Its rows stay as they are until it is resumed."""

    projection: str
    reason: str


@event_type("system.projection_resumed", retention=Retention.STATE)
class ProjectionResumed(Event, frozen=True, kw_only=True):
    projection: str


@event_type("system.poison_event_set_aside", retention=Retention.STATE)
class PoisonEventSetAside(Event, frozen=True, kw_only=True):
    """The projection cannot apply or read an event; it goes on without that event's stream.

    `event_position`, `event_stream_id`, `event_version` and `event_type` name the event, `error` the kind of
    fault. `attempts` counts the times it was tried: 1 when it is met, more after each `retry` in vain.
    """

    projection: str
    event_position: int
    event_stream_id: StreamId
    event_version: int
    event_type: str
    error: str
    attempts: int


@event_type("system.poison_event_retried", retention=Retention.STATE)
class PoisonEventRetried(Event, frozen=True, kw_only=True):
    """What of a stream was set aside is to be tried again, in order. What fails is set aside once more."""

    projection: str
    event_stream_id: StreamId


@event_type("system.poison_event_skipped", retention=Retention.STATE)
class PoisonEventSkipped(Event, frozen=True, kw_only=True):
    """One event is left out of the projection's rows for good, by every rebuild too; its stream goes on."""

    projection: str
    event_position: int
    event_stream_id: StreamId
    reason: str


@event_type("system.projection_rebuilt", retention=Retention.STATE)
class ProjectionRebuilt(Event, frozen=True, kw_only=True):
    """The rows were derived anew from the log up to a position and took over.

    `sha256` is over the ordered rows of all tables, `code_sha256` over the projection's source.
    """

    projection: str
    projection_version: int
    up_to_position: int
    events: int
    rows: dict[str, int]
    sha256: str
    code_sha256: str
