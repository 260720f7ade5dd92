"""Recorded decisions, read back from the log: for trying proposals out on them, and for explaining one."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog

from domain.events import Event, PositionedEvent
from domain.identifiers import StreamId
from domain.policies.access import AccessDecision, AccessRequest
from domain.policies.decisions import AccessCounted, AccessDecided, decision_of, read_request
from domain.policies.events import Proposal, Simulation
from domain.policies.policy import proposal_sha256
from domain.policies.policy_set import PolicySet
from domain.policies.rule import parse
from infra.event_store.log_feed import LogFeed
from infra.policies.engine import PreparedSet
from infra.policies.founding import founding_set
from infra.policies.history import history_as_of
from infra.policies.simulation import flips, with_proposal

_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)
RECORDS: Final[tuple[type[Event], ...]] = (AccessDecided, AccessCounted)

log = structlog.get_logger("policies")


class RecordedDecisions:
    """`commands.policies.Simulator`, on the log."""

    def __init__(self, feed: LogFeed) -> None:
        self._feed = feed

    async def simulate(
        self, policy_id: StreamId, proposal: Proposal, in_force: PolicySet, since: datetime, until: datetime
    ) -> Simulation:
        """In a thread: what is read may be long."""
        return await asyncio.to_thread(self.simulated, policy_id, proposal, in_force, since, until)

    def simulated(
        self, policy_id: StreamId, proposal: Proposal, in_force: PolicySet, since: datetime, until: datetime
    ) -> Simulation:
        """The proposal over what was recorded between two moments. Raises `FeedUnreachable`."""
        after, up_to = self._feed.position_at(since), self._feed.position_at(until)
        rule = None if proposal.rule is None else parse(proposal.rule)
        proposed = with_proposal(in_force, policy_id, rule, proposal.replaces)
        decisions, found = flips(in_force, proposed, self.requests(after, up_to))
        return Simulation(
            proposal_sha256=proposal_sha256(proposal),
            after_position=after,
            up_to_position=up_to,
            decisions=decisions,
            flips=found,
        )

    def requests(self, after: int, up_to: int) -> Iterator[tuple[AccessRequest, int]]:
        """Each with the number of times it was made. What this release cannot read is passed over.

        How much that was is said in the log of the process.
        """
        passed_over = 0
        for each in self._feed.stream(after, up_to, RECORDS, categories=("observation",)):
            event = each.recorded.event
            found: list[tuple[str, int]] = []
            if isinstance(event, AccessDecided):
                found = [(event.request, 1)]
            elif isinstance(event, AccessCounted):
                found = [(counted.request, counted.count) for counted in event.permitted]
                passed_over += event.others
            for text, times in found:
                try:
                    yield read_request(text), times
                except msgspec.ValidationError:
                    passed_over += times
        if passed_over:
            log.warning("recorded decisions passed over", count=passed_over)


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded decision, and what is decided on the same facts by the rules of that position.

    `faults` say where the two differ, or why it cannot be derived again; none where they agree.
    """

    recorded: AccessDecided
    request: AccessRequest | None
    derived: AccessDecision | None
    rules: PolicySet
    faults: tuple[str, ...]


def explain(feed: LogFeed, position: int) -> Explained:
    """Derives a decision again. Raises `LookupError` where there is none at this position."""
    found: list[PositionedEvent] = feed.read(position - 1, 1, (AccessDecided,), up_to=position).events
    if not found:
        raise LookupError(position)
    event = found[0].recorded.event
    assert isinstance(event, AccessDecided)
    history = history_as_of(feed, event.policies_position)
    # The moment that began the set, and not that of the decision: they may be a boundary apart.
    rules = history.at(event.policies_since or _BEFORE_ALL) if history.position else founding_set()
    try:
        request = read_request(event.request)
        recorded = decision_of(event)
    except msgspec.ValidationError as error:
        fault = f"this release cannot read what it was decided on: {error}"
        return Explained(recorded=event, request=None, derived=None, rules=rules, faults=(fault,))
    derived = PreparedSet(rules).decide(request)
    faults = tuple(
        f"{name}: recorded {getattr(recorded, name)!r}, derived {getattr(derived, name)!r}"
        for name in ("allowed", "reason", "decided_by", "audited", "position", "since")
        if getattr(recorded, name) != getattr(derived, name)
    )
    return Explained(recorded=event, request=request, derived=derived, rules=rules, faults=faults)
