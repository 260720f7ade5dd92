"""Who of several sequencers works: a lease that is judged by watching, never by comparing clocks.

The leader holds a session's advisory lock. While it lives it runs a statement every few milliseconds, which
the server shows to everybody. Who waits looks whether what is shown changes; where it has not for `lease_s`
of the watcher's own monotonic clock, the leader's session is ended and the lock falls free. Should the
leader only have slept, it finds its session gone. (What it might still have under way is fenced by the
primary key of `log.positions`.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, LiteralString

import psycopg
import structlog

_LOCK: Final = (0x6D656761, 0x73657175)  # "mega", "sequ"

# A session that is at work stands under the server's statement timeout: it is no business of ours.
_SHOWN: Final[LiteralString] = """
SELECT a.pid, a.backend_start, a.state_change, a.state = 'active' AS at_work
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.classid = %s AND l.objid = %s
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_END: Final[LiteralString] = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %s AND backend_start = %s AND state_change = %s
"""

Connection = psycopg.Connection[tuple[Any, ...]]

log = structlog.get_logger("sequencer")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the server showed of the leader, and when we first saw exactly that."""

    shown: tuple[Any, ...]
    since: float


class Leadership:
    """The lock, as one candidate sees it. For one thread."""

    def __init__(self, lease_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._lease_s = lease_s
        self._clock = clock
        self._seen: _Seen | None = None

    def try_lead(self, connection: Connection) -> bool:
        """True where the connection's session has the lock; it keeps it as long as the session lives.

        Where somebody has it who has stopped, ends that session: one of the next tries succeeds.
        """
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", _LOCK).fetchone()
        if row is not None and row[0]:
            self._seen = None
            return True
        self._watch(connection)
        return False

    def give_up(self, connection: Connection) -> None:
        connection.execute("SELECT pg_advisory_unlock(%s, %s)", _LOCK)

    def _watch(self, connection: Connection) -> None:
        shown = connection.execute(_SHOWN, _LOCK).fetchone()
        now = self._clock()
        if shown is None:
            self._seen = None
            return
        if self._seen is None or self._seen.shown != shown or shown[3]:
            self._seen = _Seen(shown, now)
        elif now - self._seen.since >= self._lease_s:
            log.warning("the leading sequencer has stopped; its session is ended", pid=shown[0])
            connection.execute(_END, shown[:3])
            self._seen = None
