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
    " attempt.response_given attempt.scored attempt.started attempt.submitted exam.closed exam.drafted"
    " exam.published exam.results_released item.created item.revised item_bank.calibrated"
    " item_bank.calibration_rules_set item_bank.created item_bank.drift_found item_bank.parameters_promoted"
    " organization.founded organization.service_client_added policy.activated policy.approved policy.proposed"
    " policy.simulated policy.superseded policy.validated policy.withdrawn system.poison_event_retried"
    " system.poison_event_set_aside system.poison_event_skipped system.projection_paused"
    " system.projection_rebuilt system.projection_resumed user.deactivated user.email_verified"
    " user.password_changed user.profile_changed user.registered user.role_granted zone.activated zone.configured zone.deactivated"
    " zone.prerequisite_attested",
}
"""By name and version. Add a line, with the version raised; never change one."""


@pytest.mark.parametrize("projection", all_projections(), ids=lambda each: each.name)
def test_another_choice_of_events_is_another_version_of_the_projection(projection):
    """Else what an older release passed over, while the newer one wrote it already, is missing for good."""
    given = sorted(cls.type_.name for cls in projection.event_types)
    assert GIVEN.get((projection.name, projection.version), "").split() == given
