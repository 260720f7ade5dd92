"""Policies as they stand, and where each recorded decision about access stands in the log."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from domain.events import Event, PositionedEvent, RecordedEvent
from domain.policies.decisions import AccessDecided
from domain.policies.events import (
    PolicyActivated,
    PolicyApproved,
    PolicyProposed,
    PolicySimulated,
    PolicySuperseded,
    PolicyValidated,
    PolicyWithdrawn,
)
from projections.projection import Cursor
from projections.rows import Row, Rows, Table

POLICIES = Table(
    "policies",
    key=("policy_id",),
    columns={
        "policy_id": "text",
        "status": "text",
        "rule": "jsonb",
        "replaces": "text",
        "proposal_sha256": "text",
        "widens": "boolean",
        "validated": "boolean",
        "simulation": "jsonb",
        "proposers": "jsonb",
        "reason": "text",
        "proposed_at": "timestamptz",
        "approved_by": "text",
        "approved_at": "timestamptz",
        "activated_at": "timestamptz",
        "active_from": "timestamptz",
        "superseded_by": "text",
        "superseded_from": "timestamptz",
        "withdrawn_by": "text",
        "ended_at": "timestamptz",
        "changed_at": "timestamptz",
        "version": "bigint",
    },
)

ACCESS_DECISIONS = Table(
    "access_decisions",
    key=("decision_id",),
    columns={
        "decision_id": "text",
        "recorded_in": "text",
        "position": "bigint",
        "decided_at": "timestamptz",
        "principal_id": "text",
        "zone_id": "text",
        "action": "text",
        "resource_kind": "text",
        "resource_id": "text",
        "allowed": "boolean",
        "reason": "text",
        "decided_by": "jsonb",
        "audited": "boolean",
        "policies_position": "bigint",
    },
)


class PoliciesProjection:
    name: ClassVar[str] = "policies"
    version: ClassVar[int] = 1
    partitioned: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = ("policies", "access_decisions")
    event_types: ClassVar[tuple[type[Event], ...]] = (
        PolicyProposed,
        PolicyValidated,
        PolicySimulated,
        PolicyApproved,
        PolicyActivated,
        PolicySuperseded,
        PolicyWithdrawn,
        AccessDecided,
    )

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        known = [each for each in events if isinstance(each.recorded.event, self.event_types)]
        of_policies = [each.recorded for each in known if not isinstance(each.recorded.event, AccessDecided)]
        rows = POLICIES.load(cursor, ((each.stream_id,) for each in of_policies))
        for recorded in of_policies:
            _apply(rows, recorded)
        rows.save(cursor)
        ACCESS_DECISIONS.save(
            cursor,
            [
                _decision(each, each.recorded.event)
                for each in known
                if isinstance(each.recorded.event, AccessDecided)
            ],
        )


def _apply(rows: Rows, recorded: RecordedEvent) -> None:
    policy_id, event, at = recorded.stream_id, recorded.event, recorded.metadata.recorded_at
    row = rows.get(policy_id)
    if row is None:
        row = dict.fromkeys(POLICIES.columns) | {
            "policy_id": policy_id,
            "validated": False,
            "proposers": [],
            "proposal_sha256": "",
        }
    rows.put({**row, **_changes(row, event, at), "changed_at": at, "version": recorded.version})


def _changes(row: Row, event: Event, at: Any) -> Row:  # noqa: PLR0911 - one for each event
    """What one more event makes of the row."""
    match event:
        case PolicyProposed():
            proposers = [*row["proposers"], event.proposed_by]
            return {
                "status": "proposed",
                "rule": _rule(event.proposal.rule),
                "replaces": event.proposal.replaces,
                "proposal_sha256": event.proposal_sha256,
                "widens": event.widens,
                # What was found out about an earlier form is void.
                "validated": False,
                "simulation": None,
                "proposers": list(dict.fromkeys(proposers)),
                "reason": event.reason,
                "proposed_at": at,
            }
        case PolicyValidated():
            return {"validated": True}
        case PolicySimulated():
            return {"simulation": msgspec.to_builtins(event.simulation)}
        case PolicyApproved():
            return {"status": "approved", "approved_by": event.approved_by, "approved_at": at}
        case PolicyActivated():
            return {
                "status": "active",
                "rule": _rule(event.proposal.rule),
                "replaces": event.proposal.replaces,
                "proposal_sha256": event.proposal_sha256,
                "activated_at": at,
                "active_from": event.active_from,
            }
        case PolicySuperseded():
            return {
                "status": "superseded",
                "superseded_by": event.superseded_by,
                "superseded_from": event.superseded_from,
                "ended_at": at,
            }
        case PolicyWithdrawn():
            return {"status": "withdrawn", "withdrawn_by": event.withdrawn_by, "ended_at": at}
        case _:
            return {}


def _rule(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _decision(positioned: PositionedEvent, event: AccessDecided) -> Row:
    return {
        "decision_id": event.decision_id,
        "recorded_in": positioned.recorded.stream_id,
        "position": positioned.position,
        "decided_at": event.decided_at,
        "principal_id": event.principal_id,
        "zone_id": positioned.recorded.metadata.zone_id,
        "action": event.action,
        "resource_kind": event.resource_kind,
        "resource_id": event.resource_id,
        "allowed": event.allowed,
        "reason": event.reason,
        "decided_by": list(event.decided_by),
        "audited": event.audited,
        "policies_position": event.policies_position,
    }
