"""A read model that shows every event that is missing or counted twice."""

from collections import Counter
from typing import ClassVar

import psycopg

from domain.event_types import EVENT_CLASSES
from tests.support.story import Story


class Tallies:
    """How many events each stream has, and the sum of their positions. An event that comes twice shows."""

    name: ClassVar[str] = "tallies"
    version: ClassVar[int] = 1
    tables: ClassVar[tuple[str, ...]] = ("tallies",)
    event_types: ClassVar = EVENT_CLASSES
    order_free: ClassVar[bool] = True

    def apply(self, cursor, events):
        for each in events:
            cursor.execute(
                "INSERT INTO read.tallies AS t VALUES (%s, 1, %s)"
                " ON CONFLICT (stream_id) DO UPDATE SET n = t.n + 1, total = t.total + excluded.total",
                [each.recorded.stream_id, each.position],
            )


def make_tallies(conninfo: str) -> None:
    """The table; `conninfo` is the administrator's."""
    with psycopg.connect(conninfo) as admin:
        admin.execute("SET ROLE megacity_owner")
        admin.execute("CREATE TABLE read.tallies (stream_id text PRIMARY KEY, n bigint, total bigint)")


def tallies(conninfo: str) -> dict[str, tuple[int, int]]:
    with psycopg.connect(conninfo) as admin:
        return {stream: (n, total) for stream, n, total in admin.execute("SELECT * FROM read.tallies")}


def tallies_of(story: Story, *, without: tuple[int, ...] = ()) -> dict[str, tuple[int, int]]:
    """What the tallies of the whole story are, but for these positions."""
    n: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for each in story.events:
        if each.position not in without:
            n[each.recorded.stream_id] += 1
            total[each.recorded.stream_id] += each.position
    return {stream: (n[stream], total[stream]) for stream in n}
