"""What auditors call each event."""

import pytest

from domain.event_types import EVENT_CLASSES
from projections.audit.actions import ACTIONS, ALL_ACTIONS, NoAction, action_of, names_of
from projections.audit.projection import AuditProjection


def test_every_event_type_there_is_has_an_action_and_no_other_has():
    assert set(ACTIONS) == {cls.type_.name for cls in EVENT_CLASSES}


def test_every_event_type_is_audited():
    assert set(AuditProjection.event_types) == set(EVENT_CLASSES)


def test_actions_are_the_ten_that_auditors_know():
    assert ALL_ACTIONS == (
        "login",
        "logout",
        "create",
        "update",
        "delete",
        "access",
        "approve",
        "reject",
        "export",
        "erase",
    )
    assert set(ACTIONS.values()) <= set(ALL_ACTIONS)


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__name__)
def test_a_stream_begins_with_its_creation_or_with_no_creation_at_all(cls):
    first, later = action_of(cls.type_.stored_name, 1), action_of(cls.type_.stored_name, 2)
    assert later != "create"
    assert first == later or (first, later) == ("create", "update")


def test_all_schema_versions_of_a_type_mean_the_same():
    assert action_of("exam.published.v1", 3) == action_of("exam.published.v12", 3) == "update"


def test_a_type_that_is_not_listed_has_no_action():
    with pytest.raises(NoAction, match="unheard_of"):
        action_of("exam.unheard_of.v1", 1)


@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_the_types_of_an_action_are_those_that_may_stand_for_it(action):
    meant = {name for name in ACTIONS for version in (1, 2) if action_of(f"{name}.v1", version) == action}
    assert set(names_of(action)) >= meant
    if action != "update":
        assert set(names_of(action)) == meant
