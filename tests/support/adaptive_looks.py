"""What a story has recorded of one adaptive attempt."""

from domain.attempts.events import AbilityUpdated, AttemptScored, ItemPresented, ScoredAbility
from tests.support.story import Story


def presented(story: Story, attempt_id: str) -> list[ItemPresented]:
    return [event for event in _events(story, attempt_id) if isinstance(event, ItemPresented)]


def updates(story: Story, attempt_id: str) -> list[AbilityUpdated]:
    """After each response that the engine has seen; the prior is left out."""
    found = [event for event in _events(story, attempt_id) if isinstance(event, AbilityUpdated)]
    return [event for event in found if event.step > 0]


def found_ability(story: Story, attempt_id: str) -> ScoredAbility:
    [ability] = [event.ability for event in _events(story, attempt_id) if isinstance(event, AttemptScored)]
    assert ability is not None
    return ability


def _events(story: Story, attempt_id: str) -> list[object]:
    return [each.recorded.event for each in story.events if each.recorded.stream_id == attempt_id]
