"""The rules in force, in every process that answers requests, as the log says them.

The process asks the log for new events of policies several times a second, and at once after a command about
a policy that it has handled itself. What begins or ends at a moment needs no asking: the moment is known.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, Final, LiteralString, Protocol

import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from domain.errors import Unavailable
from domain.events import Event, PositionedEvent, RecordedEvent
from domain.identifiers import StreamId
from domain.policies.access import AccessDecision, AccessRequest
from domain.policies.events import PolicyActivated, PolicySuperseded, PolicyWithdrawn
from domain.policies.policy_set import ActiveRule, PolicyHistory, PolicySet
from infra.policies.engine import PreparedSet, PreparedSets

POLL_INTERVAL_S: Final = 0.25
INCLUDED_WITHIN_S: Final = 5.0
_FIRST_LOOK_S: Final = 0.005
_LONGEST_LOOK_S: Final = 0.05

CHANGING: Final[tuple[type[Event], ...]] = (PolicyActivated, PolicySuperseded, PolicyWithdrawn)
"""What changes which rules are in force."""

# A range of the primary key: "." is the character after "-". However long the log is, only events of policies
# are looked at. Positions become visible in their order, so nothing appears later below one that was seen.
_NEWER: Final[LiteralString] = """
    SELECT p.position, e.stream_id, e.version, e.type, e.meta, e.payload
    FROM log.events e JOIN log.positions p ON p.append_id = e.append_id
    WHERE e.stream_id > 'policy-' AND e.stream_id < 'policy.' AND p.position > %s
    ORDER BY p.position
"""

_Row = tuple[int, str, int, str, bytes, bytes]

log = structlog.get_logger("policies")


class PoliciesUnreadable(Unavailable):
    """The log holds an event about the rules in force that this release cannot read: it decides nothing."""

    code = "policies-unreadable"
    title = "Which rules are in force cannot be told at the moment"


class PoliciesBehind(Unavailable):
    """What was ordered is recorded, and not yet in force here: the sequencer is slow, or away."""

    code = "policies-behind"
    title = "It is recorded, and not in force yet; the same request again tells when it is"


class Decode(Protocol):
    """See `infra.event_store.codec.EventCodec.decode`."""

    def __call__(
        self, stream_id: StreamId, version: int, stored_name: str, meta: bytes, payload: bytes, /
    ) -> RecordedEvent: ...


class LivePolicies:
    """Decides by the rules in force now.

    Args:
        pool: of a role that reads the log.
        decode: as the event store decodes.
        clock: what "now" is, for rules that begin or end at a moment.
        founding: the rules of an installation in whose log nothing was ever said about rules.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        decode: Decode,
        *,
        clock: Callable[[], datetime],
        founding: Sequence[ActiveRule],
    ) -> None:
        self._pool = pool
        self._decode = decode
        self._clock = clock
        self._founding = PolicySet(position=0, since=None, until=None, rules=tuple(founding))
        self._history = PolicyHistory()
        self._seen_until = 0
        self._versions: dict[StreamId, int] = {}
        self._unreadable: Exception | None = None
        self._sets = PreparedSets()
        self._in_force: PreparedSet | None = None
        self._turn = asyncio.Lock()

    def in_force(self) -> PreparedSet:
        """The rules in force at this moment. Raises `PoliciesUnreadable`."""
        if self._unreadable is not None:
            raise PoliciesUnreadable(retry_after_s=5)
        held = self._in_force
        if held is None or (held.rules.until is not None and held.rules.until <= self._clock()):
            held = self._in_force = self._prepared()
        return held

    def decide(self, request: AccessRequest) -> AccessDecision:
        """Raises `PoliciesUnreadable`."""
        return self.in_force().decide(request)

    async def include(
        self, stream_id: StreamId, version: int, *, within_s: float = INCLUDED_WITHIN_S
    ) -> None:
        """Returns once this version of a policy has its place in the log, and counts here.

        Raises `PoliciesBehind` when the time is over.
        """
        gives_up_at, pause_s = monotonic() + within_s, _FIRST_LOOK_S
        while self._versions.get(stream_id, 0) < version:
            await self.refresh()
            if self._versions.get(stream_id, 0) >= version:
                return
            if monotonic() + pause_s > gives_up_at:
                raise PoliciesBehind(retry_after_s=1)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_LOOK_S)

    async def refresh(self) -> None:
        """Reads what is new in the log."""
        async with self._turn:
            if self._unreadable is not None:
                return
            async with self._pool.connection() as connection:
                found = await connection.execute(_NEWER, [self._seen_until], prepare=True, binary=True)
                rows: list[_Row] = await found.fetchall()
            self._take(rows)

    async def follow(self) -> None:
        """Keeps this process's rules up to date, whatever happens, until it is cancelled."""
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            try:
                await self.refresh()
            except Exception as error:
                # The database may be away: what is missed now is read as soon as it is back.
                log.exception("policies not looked for", error=type(error).__name__)

    def _take(self, rows: Sequence[_Row]) -> None:
        names = {f"{cls.type_.name}.v" for cls in CHANGING}
        history, seen_until, versions = self._history, self._seen_until, dict[StreamId, int]()
        for position, stream_id, version, type_, meta, payload in rows:
            if type_.rstrip("0123456789") in names:
                try:
                    recorded = self._decode(stream_id, version, type_, meta, payload)
                    history = history.after(PositionedEvent(position, recorded))
                except Exception as error:
                    # A newer release wrote it or its rule, or nobody should have. It may take access away:
                    # nothing is decided past it, by this release, for as long as the process lives.
                    self._unreadable = error
                    log.exception("policy event not readable", position=position, type=type_)
                    return
            seen_until = position
            versions[stream_id] = version
        self._seen_until = seen_until
        self._versions.update(versions)
        if history is not self._history:
            self._history, self._in_force = history, None
            log.info("policies in force changed", position=history.position, rules=len(history.in_force))

    def _prepared(self) -> PreparedSet:
        found = self._history.at(self._clock()) if self._history.position else self._founding
        return self._sets.of(found)
