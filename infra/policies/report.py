"""What happened to the rules of access in a week: for whoever has to know without having asked."""

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import msgspec

from commands.access import ZONE_TIME
from domain.events import Event, RecordedEvent
from domain.identifiers import StreamId
from domain.policies import policy
from domain.policies.events import (
    PolicyActivated,
    PolicyApproved,
    PolicyProposed,
    PolicySimulated,
    PolicySuperseded,
    PolicyValidated,
    PolicyWithdrawn,
)
from domain.policies.policy import Policy, Proposed, Unproposed, rule_of
from domain.policies.policy_set import PolicyHistory
from infra.event_store.log_feed import LogFeed

_EVENTS: Final[tuple[type[Event], ...]] = (
    PolicyProposed,
    PolicyValidated,
    PolicySimulated,
    PolicyApproved,
    PolicyActivated,
    PolicySuperseded,
    PolicyWithdrawn,
)
_WEEK: Final = re.compile(r"(\d{4})-W(\d{2})")


class NoSuchWeek(ValueError):
    """Not a week as ISO 8601 names it."""


class PolicyChange(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of a policy. `by` is the person who took it, or who ordered it of a program."""

    position: int
    at: datetime
    policy_id: StreamId
    rule: str | None
    title: dict[str, str] | None
    change: str
    by: str
    reason: str | None = None
    detail: str | None = None


class RuleInForce(msgspec.Struct, frozen=True, kw_only=True):
    policy_id: StreamId
    rule: str
    effect: str
    title: dict[str, str]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    policy_id: StreamId
    rule: str | None
    proposers: tuple[str, ...]
    lacks_simulation: bool


class WeekOfPolicies(msgspec.Struct, frozen=True, kw_only=True):
    """`in_force` and `awaiting_approval` are as of the end of the week, or of now."""

    week: str
    since: datetime
    until: datetime
    changes: tuple[PolicyChange, ...]
    in_force: tuple[RuleInForce, ...]
    awaiting_approval: tuple[Waiting, ...]


def week_of(text: str) -> tuple[datetime, datetime]:
    """A week by its ISO 8601 name (`2026-W10`), from Monday to Monday in Korea. Raises `NoSuchWeek`."""
    named = _WEEK.fullmatch(text)
    try:
        if named is None:
            raise NoSuchWeek(text)
        monday = date.fromisocalendar(int(named[1]), int(named[2]), 1)
        since = datetime.combine(monday, time(), ZONE_TIME)
        return since, since + timedelta(days=7)
    except (ValueError, OverflowError) as error:
        raise NoSuchWeek(text) from error


def name_of_week(moment: datetime) -> str:
    year, week, _ = moment.astimezone(ZONE_TIME).isocalendar()
    return f"{year}-W{week:02}"


def changes_in_week(feed: LogFeed, week: str, now: datetime) -> WeekOfPolicies:
    """Raises `NoSuchWeek` and `FeedUnreachable`."""
    since, until = week_of(week)
    after, up_to = feed.position_at(since), feed.position_at(until)
    states: dict[StreamId, Policy] = {}
    history, changes = PolicyHistory(), list[PolicyChange]()
    for each in feed.stream(0, up_to, _EVENTS, categories=("policy",)):
        recorded = each.recorded
        before = states.get(recorded.stream_id, Unproposed())
        state = states[recorded.stream_id] = policy.evolve(before, recorded.event)
        history = history.after(each)
        if each.position > after and not isinstance(recorded.event, PolicyValidated):
            changes.append(_change(each.position, recorded, before, state))
    return WeekOfPolicies(
        week=week,
        since=since,
        until=until,
        changes=tuple(changes),
        in_force=tuple(
            RuleInForce(
                policy_id=each.policy_id,
                rule=each.rule.id,
                effect=each.rule.effect,
                title=_words(each.rule.title),
            )
            for each in history.at(min(until, now)).rules
        ),
        awaiting_approval=tuple(
            Waiting(
                policy_id=policy_id,
                rule=None if (rule := rule_of(state)) is None else rule.id,
                proposers=state.proposers,
                lacks_simulation=state.widens and state.simulation is None,
            )
            for policy_id, state in sorted(states.items())
            if isinstance(state, Proposed)
        ),
    )


def _change(position: int, recorded: RecordedEvent, before: Policy, state: Policy) -> PolicyChange:
    # What is over has no rule any more: it is named by the one that it had.
    rule = rule_of(state) or rule_of(before)
    change, reason, detail = _told(recorded.event, before)
    return PolicyChange(
        position=position,
        at=recorded.metadata.recorded_at,
        policy_id=recorded.stream_id,
        rule=None if rule is None else rule.id,
        title=None if rule is None else _words(rule.title),
        change=change,
        by=recorded.metadata.actor.id,
        reason=reason,
        detail=detail,
    )


def _words(words: Mapping[Any, str]) -> dict[str, str]:
    return dict(words)


def _told(event: Event, before: Policy) -> tuple[str, str | None, str | None]:
    match event:
        case PolicyProposed():
            widens = "may widen access" if event.widens else "narrows access"
            replaces = "" if event.proposal.replaces is None else f", replaces {event.proposal.replaces}"
            change = "changed" if isinstance(before, Proposed) else "proposed"
            return change, event.reason, widens + replaces
        case PolicySimulated():
            flips = sum(each.count for each in event.simulation.flips)
            return "simulated", None, f"{flips} of {event.simulation.decisions} decisions would be others"
        case PolicyApproved():
            return "approved", event.reason, None
        case PolicyActivated():
            begins = None if event.active_from is None else f"from {event.active_from.isoformat()}"
            return "activated", None, begins
        case PolicySuperseded():
            return "superseded", None, f"by {event.superseded_by}"
        case PolicyWithdrawn():
            return "withdrawn", event.reason, None
        case _:
            raise AssertionError(type(event))
