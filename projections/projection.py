"""What a projection is: events in, rows out."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Protocol

import psycopg

from domain.events import Event, PositionedEvent

Cursor = psycopg.Cursor[dict[str, Any]]

LIVE_SCHEMA: Final = "read"
"""Where the rows lie that readers see."""


class ScratchCursor(psycopg.Cursor[dict[str, Any]]):
    """A cursor whose rows go to tables of another schema: a rebuild beside the live tables, a look back."""

    schema: str = LIVE_SCHEMA


def schema_of(cursor: Cursor) -> str:
    """The schema of the tables that a projection is to read and write through this cursor."""
    return cursor.schema if isinstance(cursor, ScratchCursor) else LIVE_SCHEMA


class Projection(Protocol):
    """Derives the rows of its tables from events, and from nothing else: no clock, no chance.

    Attributes:
        name: names its checkpoint; never reused for something else.
        version: to be raised when the same events are to give other rows; it is then rebuilt.
        tables: its tables, in an order in which they can be emptied. They lie in schema `read`, and while
            rows are made beside those in another: `schema_of(cursor)` says which.
        event_types: what it wants to be given.

    One that has an attribute `partitioned` that is true declares that each of its rows comes from the
    events of one stream alone: so parts of the log can be applied side by side. One with a true attribute
    `durable` has its rows on the disk before anybody sees them: a server that dies takes none of them back.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    tables: ClassVar[tuple[str, ...]]
    event_types: ClassVar[tuple[type[Event], ...]]

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        """Brings the rows up to date with further events, in the order of the log.

        Writes rows and nothing else: the transaction and the checkpoint are the runner's. The rows
        do not depend on how the log is cut into batches. Events that it does not know are passed over.
        """
        ...
