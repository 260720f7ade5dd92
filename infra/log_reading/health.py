"""Where the log ends, and what has been appended and has no position yet."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import psycopg

from infra.sequencer.statements import UNSEQUENCED

MOST_COUNTED: Final = 100_000
"""Events without a position are counted up to here: more would cost time and say nothing new."""

_HEAD: Final = "SELECT coalesce(max(position), 0) AS head FROM log.positions"
_META: Final = "SELECT meta FROM log.events WHERE append_id = %s"


@dataclass(frozen=True, slots=True)
class LogHealth:
    """`unsequenced_age_s` is of the oldest event without a position; 0 where there is none."""

    head: int
    unsequenced: int
    unsequenced_age_s: float


class _Metadata(msgspec.Struct):
    recorded_at: Annotated[datetime, msgspec.Meta(tz=True)]


def read_health(connection: psycopg.Connection[dict[str, Any]], now: datetime) -> LogHealth:
    """For the projector's role and the writer's."""
    waiting = [
        row["append_id"] for row in connection.execute(UNSEQUENCED + " LIMIT %s", [MOST_COUNTED], binary=True)
    ]
    head = connection.execute(_HEAD).fetchone()
    oldest = connection.execute(_META, [min(waiting)], binary=True).fetchone() if waiting else None
    assert head is not None
    return LogHealth(head["head"], len(waiting), 0.0 if oldest is None else _age_s(oldest["meta"], now))


def _age_s(meta: bytes, now: datetime) -> float:
    try:
        recorded_at = msgspec.json.decode(meta, type=_Metadata).recorded_at
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0.0  # its readers will say what is wrong with it
    return max(0.0, (now - recorded_at).total_seconds())
