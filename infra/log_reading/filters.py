"""Which events of the log somebody wants to see."""

from typing import Any

import msgspec
from psycopg import sql

from infra.log_reading.stored import StoredAt
from projections.audit.actions import names_of
from projections.audit.queries import Criteria


class LogFilter(Criteria):
    """The criteria of an audit search, applied to the log itself."""

    @property
    def chooses(self) -> bool:
        """Whether anything but the range of positions is set."""
        return any(
            value is not None
            for value in (
                self.actor,
                self.action,
                self.since,
                self.until,
                self.zone,
                self.event_type,
                self.category,
            )
        )

    def conditions(self) -> tuple[sql.Composed, list[Any]]:
        """What the server can rule out over `log.events e`; what it lets through `admits` looks at again."""
        found: list[sql.SQL] = []
        parameters: list[Any] = []
        if self.category is not None:
            found.append(sql.SQL("starts_with(e.type, %s)"))
            parameters.append(f"{self.category}.")
        if self.event_type is not None:
            found.append(sql.SQL("(e.type = %s OR rtrim(e.type, '0123456789') = %s)"))
            parameters += [self.event_type, f"{self.event_type}.v"]
        if self.action is not None:
            # Cut at the end: a name may hold ".v" itself.
            found.append(sql.SQL("rtrim(e.type, '0123456789') = ANY (%s)"))
            parameters.append([f"{name}.v" for name in names_of(self.action)])
        for text in (self.actor, self.zone):
            if text is not None:
                # As the encoder writes it: there is no event of this actor whose metadata lacks these bytes.
                found.append(sql.SQL("position(%s::bytea IN e.meta) > 0"))
                parameters.append(msgspec.json.encode(text))
        return sql.SQL("").join(sql.SQL(" AND {}").format(each) for each in found), parameters

    def admits(self, event: StoredAt) -> bool:
        """Whether the event is wanted; one whose metadata cannot be read is, unless they are asked about."""
        if self.category is not None and event.category != self.category:
            return False
        if self.event_type is not None and self.event_type not in {event.type, event.type_name}:
            return False
        if self.action is not None and event.action != self.action:
            return False
        if self.actor is None and self.since is None and self.until is None and self.zone is None:
            return True
        metadata = event.metadata
        return (
            metadata is not None
            and self.actor in {None, metadata.actor.id}
            and self.zone in {None, metadata.zone_id}
            and (self.since is None or metadata.recorded_at >= self.since)
            and (self.until is None or metadata.recorded_at < self.until)
        )
