"""Applying the log to scratch tables: as the live runner would, leaving out what the live rows leave out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from infra.event_store.feed import FeedPage
from infra.projections.checkpoints import Connection
from infra.projections.poison import (
    MOST_PAUSED_STREAMS,
    SetAside,
    TooMuchPoison,
    apply_page,
    is_poison,
)
from projections.projection import Projection

BATCH_SIZE: Final = 1_000


@dataclass
class LeftOut:
    """Events that are not applied.

    Attributes:
        statuses: by position, `waiting` or `skipped`: what is known to be left out.
        paused: streams of which something waits; what follows in them waits too.
    """

    statuses: dict[int, str] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)


def fill(connection: Connection, projection: Projection, page: FeedPage, left_out: LeftOut) -> list[SetAside]:
    """Applies a page within the caller's transaction; answers what was left out and was not known to be.

    Raises `TooMuchPoison`, and whatever is no poison (an event that only a newer release can read is none):
    then the transaction must not commit.
    """
    for each in page.unreadable:
        if not is_poison(each.error) and each.position not in left_out.statuses:
            raise each.error
    paused = set(left_out.paused)
    try:
        with connection.transaction():
            aside = _fill(connection, projection, page, left_out.statuses, paused, bisect=False)
    except Exception as error:
        if connection.broken or not is_poison(error):
            raise
        paused = set(left_out.paused)
        aside = _fill(connection, projection, page, left_out.statuses, paused, bisect=True)
    if len(paused) > MOST_PAUSED_STREAMS:
        first = next((each for each in aside if each.error is not None), None)
        raise TooMuchPoison(projection.name, len(paused), first)
    left_out.paused = paused
    return aside


def _fill(  # noqa: PLR0913 - as `fill`, and what it has found so far
    connection: Connection,
    projection: Projection,
    page: FeedPage,
    statuses: dict[int, str],
    paused: set[str],
    *,
    bisect: bool,
) -> list[SetAside]:
    aside: list[SetAside] = []
    for piece, waits_after in _pieces(page, statuses):
        if piece.events or piece.unreadable:
            aside += apply_page(connection, projection, piece, paused, bisect=bisect)
        if waits_after is not None:
            paused.add(waits_after)
    return aside


def _pieces(page: FeedPage, statuses: dict[int, str]) -> Iterator[tuple[FeedPage, str | None]]:
    """The page without what is left out, cut where a stream begins to wait, with that stream."""
    found = [(event.position, event.recorded.stream_id) for event in page.events]
    found += [(event.position, event.stream_id) for event in page.unreadable]
    left_out = [(position, stream) for position, stream in sorted(found) if position in statuses]
    after = 0
    for position, stream in left_out:
        yield _between(page, after, position - 1), stream if statuses[position] == "waiting" else None
        after = position
    yield _between(page, after, page.up_to) if left_out else page, None


def _between(page: FeedPage, after: int, up_to: int) -> FeedPage:
    return FeedPage(
        [event for event in page.events if after < event.position <= up_to],
        up_to,
        [event for event in page.unreadable if after < event.position <= up_to],
    )
