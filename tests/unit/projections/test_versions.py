"""What a projection is given belongs to its version."""

import pytest

from infra.composition import all_projections

GIVEN = {
    ("people", 1): "user.profile_changed user.registered user.role_granted",
    ("catalogue", 1): "exam.closed exam.drafted exam.published exam.results_released"
    " item.created item.revised item_bank.created",
    ("attempts", 1): "attempt.response_changed attempt.response_given attempt.scored attempt.started"
    " attempt.submitted",
    ("item_analysis", 1): "attempt.scored exam.published item.created item.revised",
    ("audit", 1): "attempt.response_changed attempt.response_given attempt.scored attempt.started"
    " attempt.submitted exam.closed exam.drafted exam.published exam.results_released"
    " item.created item.revised item_bank.created organization.founded"
    " organization.service_client_added system.poison_event_retried system.poison_event_set_aside"
    " system.poison_event_skipped system.projection_paused system.projection_rebuilt"
    " system.projection_resumed user.profile_changed user.registered user.role_granted",
    ("catalogue", 2): "exam.closed exam.drafted exam.published exam.results_released"
    " item.created item.revised item_bank.created",
    ("attempts", 2): "attempt.ability_updated attempt.item_presented attempt.response_changed"
    " attempt.response_given attempt.scored attempt.started attempt.submitted",
    ("item_analysis", 2): "attempt.scored exam.published item.created item.revised",
    ("audit", 2): "attempt.ability_updated attempt.item_presented attempt.response_changed"
    " attempt.response_given attempt.scored attempt.started attempt.submitted exam.closed exam.drafted"
    " exam.published exam.results_released item.created item.revised item_bank.calibrated"
    " item_bank.calibration_rules_set item_bank.created item_bank.drift_found item_bank.parameters_promoted"
    " organization.founded organization.service_client_added system.poison_event_retried"
    " system.poison_event_set_aside system.poison_event_skipped system.projection_paused"
    " system.projection_rebuilt system.projection_resumed user.profile_changed user.registered"
    " user.role_granted",
    ("calibrations", 1): "item_bank.calibrated item_bank.calibration_rules_set item_bank.created"
    " item_bank.drift_found item_bank.parameters_promoted",
    ("audit", 3): "attempt.ability_updated attempt.item_presented attempt.response_changed"
    " attempt.response_given attempt.scored attempt.started attempt.submitted class.closed"
    " class.opened class.renamed class.student_enrolled class.student_withdrawn class.teacher_assigned"
    " class.teacher_withdrawn exam.closed exam.drafted exam.published exam.results_released"
    " invitation.accepted invitation.expired invitation.member_invited invitation.revoked item.created"
    " item.revised item_bank.calibrated item_bank.calibration_rules_set item_bank.created"
    " item_bank.drift_found item_bank.parameters_promoted observation.access_counted"
    " observation.access_decided organization.founded organization.renamed"
    " organization.service_client_added parent_link.approved parent_link.expired parent_link.rejected"
    " parent_link.requested parent_link.revoked policy.activated policy.approved policy.proposed"
    " policy.simulated policy.superseded policy.validated policy.withdrawn subscription.cancelled"
    " subscription.expired subscription.renewed subscription.started system.poison_event_retried"
    " system.poison_event_set_aside system.poison_event_skipped system.projection_paused"
    " system.projection_rebuilt system.projection_resumed user.deactivated user.email_verified"
    " user.identity_linked user.identity_unlinked user.passkey_registered user.passkey_removed"
    " user.password_changed user.profile_changed user.registered user.role_confirmed user.role_granted"
    " user.role_lapsed zone.activated zone.configured zone.deactivated zone.prerequisite_attested",
    ("subscriptions", 1): "subscription.cancelled subscription.expired subscription.renewed"
    " subscription.started",
    ("policies", 1): "observation.access_decided policy.activated policy.approved policy.proposed"
    " policy.simulated policy.superseded policy.validated policy.withdrawn",
    ("people", 2): "user.profile_changed user.registered user.role_granted user.role_lapsed",
    ("access", 1): "class.closed class.opened class.renamed class.student_enrolled class.student_withdrawn"
    " class.teacher_assigned class.teacher_withdrawn organization.founded organization.renamed"
    " parent_link.approved parent_link.expired parent_link.rejected parent_link.requested"
    " parent_link.revoked user.deactivated user.registered user.role_granted user.role_lapsed",
    ("catalogue", 3): "exam.closed exam.drafted exam.published exam.results_released"
    " item.created item.revised item_bank.created",
    ("attempts", 3): "attempt.ability_updated attempt.item_presented attempt.response_changed"
    " attempt.response_given attempt.scored attempt.started attempt.submitted",
    ("role_reviews", 1): "user.deactivated user.role_confirmed user.role_granted user.role_lapsed",
    ("invitations", 1): "invitation.accepted invitation.expired invitation.member_invited invitation.revoked"
    " user.email_verified",
}
"""By name and version. Add a line, with the version raised; never change one."""


@pytest.mark.parametrize("projection", all_projections(), ids=lambda each: each.name)
def test_another_choice_of_events_is_another_version_of_the_projection(projection):
    """Else what an older release passed over, while the newer one wrote it already, is missing for good."""
    given = sorted(cls.type_.name for cls in projection.event_types)
    assert GIVEN.get((projection.name, projection.version), "").split() == given
