"""The policies in force, read from the log."""

from domain.policies.events import PolicyActivated, PolicySuperseded, PolicyWithdrawn
from domain.policies.policy_set import PolicyHistory
from infra.event_store.feed import EventFeed


def history_as_of(feed: EventFeed, position: int | None = None) -> PolicyHistory:
    """What the log says up to a position, or up to its end.

    Raises `FeedUnreachable`; and what made an event unreadable, as no decision can be made past one.
    """
    up_to = feed.head() if position is None else min(position, feed.head())
    history = PolicyHistory()
    types = (PolicyActivated, PolicySuperseded, PolicyWithdrawn)
    for positioned in feed.stream(0, up_to, types, categories=("policy",)):
        history = history.after(positioned)
    return history
