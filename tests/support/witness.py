"""A read model that writes down each event as it is applied: it shows what is missing, repeated or early."""

from collections import defaultdict
from typing import ClassVar

import psycopg

from domain.event_types import EVENT_CLASSES


class Witness:
    """One row for each time that an event takes effect, numbered in the order of the effects."""

    name: ClassVar[str] = "witness"
    version: ClassVar[int] = 1
    tables: ClassVar[tuple[str, ...]] = ("witnessed",)
    event_types: ClassVar = EVENT_CLASSES
    order_free: ClassVar[bool] = True

    def apply(self, cursor, events):
        cursor.executemany(
            "INSERT INTO read.witnessed (stream_id, version, position) VALUES (%s, %s, %s)",
            [(each.recorded.stream_id, each.recorded.version, each.position) for each in events],
        )


def make_witnessed(conninfo: str) -> None:
    """The table; `conninfo` is the administrator's."""
    with psycopg.connect(conninfo) as admin:
        admin.execute("SET ROLE megacity_owner")
        admin.execute(
            "CREATE TABLE read.witnessed (n bigint GENERATED ALWAYS AS IDENTITY, stream_id text,"
            " version bigint, position bigint)"
        )


def witnessed(conninfo: str) -> int:
    with psycopg.connect(conninfo) as admin:
        [[count]] = admin.execute("SELECT count(*) FROM read.witnessed").fetchall()
    return int(count)


def assert_each_took_effect_once_and_in_order(conninfo: str, *, without: tuple[int, ...] = ()) -> None:
    """Every event of the log, but for those positions; within each stream in its order."""
    with psycopg.connect(conninfo) as admin:
        seen = admin.execute("SELECT stream_id, version, position FROM read.witnessed ORDER BY n").fetchall()
        there = admin.execute(
            "SELECT e.stream_id, e.version, p.position"
            " FROM log.positions p JOIN log.events e USING (append_id) ORDER BY p.position"
        ).fetchall()
    expected = [row for row in there if row[2] not in without]
    missing, extra = sorted(set(expected) - set(seen)), sorted(set(seen) - set(expected))
    assert not missing, f"{len(missing)} have not taken effect: {missing[:3]}"
    assert not extra, f"{len(extra)} should not have taken effect: {extra[:3]}"
    assert len(seen) == len(expected), f"{len(seen) - len(expected)} effects are repeated"
    streams: dict[str, list[int]] = defaultdict(list)
    for stream_id, version, _ in seen:
        streams[stream_id].append(version)
    early = [stream for stream, versions in streams.items() if versions != sorted(versions)]
    assert not early, f"out of order: {early[:3]}"
