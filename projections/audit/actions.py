"""What each event means to an auditor: one of ten actions.

Pinned by the stored name, so that an entry of today reads the same in ten years. A test holds that every
registered event type is listed.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

Action: TypeAlias = Literal[
    "login", "logout", "create", "update", "delete", "access", "approve", "reject", "export", "erase"
]
ALL_ACTIONS: Final[tuple[Action, ...]] = get_args(Action)

ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "attempt.ability_updated": "update",
        "attempt.item_presented": "update",
        "attempt.response_changed": "update",
        "attempt.response_given": "update",
        "attempt.scored": "update",
        "attempt.started": "create",
        "attempt.submitted": "update",
        "class.closed": "update",
        "class.opened": "create",
        "class.renamed": "update",
        "class.student_enrolled": "update",
        "class.student_withdrawn": "update",
        "class.teacher_assigned": "update",
        "class.teacher_withdrawn": "update",
        "exam.closed": "update",
        "exam.drafted": "create",
        "exam.published": "update",
        "exam.results_released": "update",
        "invitation.accepted": "approve",
        "invitation.expired": "update",
        "invitation.member_invited": "create",
        "invitation.revoked": "reject",
        "item.created": "create",
        "item.revised": "update",
        "item_bank.calibrated": "update",
        "item_bank.calibration_rules_set": "update",
        "item_bank.created": "create",
        "item_bank.drift_found": "update",
        "item_bank.parameters_promoted": "approve",
        "observation.access_counted": "access",
        "observation.access_decided": "access",
        "organization.founded": "create",
        "organization.renamed": "update",
        "organization.service_client_added": "update",
        "parent_link.approved": "approve",
        "parent_link.expired": "update",
        "parent_link.rejected": "reject",
        "parent_link.requested": "create",
        "parent_link.revoked": "update",
        "policy.activated": "update",
        "policy.approved": "approve",
        "policy.proposed": "create",
        "policy.simulated": "update",
        "policy.superseded": "update",
        "policy.validated": "update",
        "policy.withdrawn": "reject",
        "subscription.cancelled": "update",
        "subscription.expired": "update",
        "subscription.renewed": "update",
        "subscription.started": "create",
        "system.poison_event_retried": "update",
        "system.poison_event_set_aside": "update",
        "system.poison_event_skipped": "update",
        "system.projection_paused": "update",
        "system.projection_rebuilt": "update",
        "system.projection_resumed": "update",
        "user.deactivated": "update",
        "user.email_verified": "update",
        "user.identity_linked": "update",
        "user.identity_unlinked": "update",
        "user.passkey_registered": "update",
        "user.passkey_removed": "update",
        "user.password_changed": "update",
        "user.profile_changed": "update",
        "user.registered": "create",
        "user.role_confirmed": "approve",
        "user.role_granted": "update",
        "user.role_lapsed": "update",
        "zone.activated": "approve",
        "zone.configured": "create",
        "zone.deactivated": "update",
        "zone.prerequisite_attested": "approve",
    }
)
"""By event type name, without the schema version."""


class NoAction(LookupError):
    """An event type that nobody has told auditors the meaning of."""

    def __init__(self, stored_name: str) -> None:
        super().__init__(f"no audit action is listed for {stored_name}")
        self.stored_name = stored_name


def action_of(stored_name: str, version: int) -> Action:
    """What was done to the resource: the stream that the event stands in, at this version of it.

    A resource is created once: what is drafted anew later on is an update. Raises `NoAction`.
    """
    action = ACTIONS.get(stored_name.rpartition(".v")[0])
    if action is None:
        raise NoAction(stored_name)
    return "update" if action == "create" and version > 1 else action


def names_of(action: Action) -> list[str]:
    """The event types, without schema versions, that may stand for the action."""
    return [
        name
        for name, listed in ACTIONS.items()
        if listed == action or (action == "update" and listed == "create")
    ]
