"""What a projection is: events in, rows out."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import psycopg

from domain.events import Event, PositionedEvent

Cursor = psycopg.Cursor[dict[str, Any]]


class Projection(Protocol):
    """Derives the rows of its tables from events, and from nothing else: no clock, no chance.

    Attributes:
        name: names its checkpoint; never reused for something else.
        version: to be raised when the same events are to give other rows; it is then rebuilt.
        tables: its tables in schema `read`, in an order in which they can be emptied.
        event_types: what it wants to be given.
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
