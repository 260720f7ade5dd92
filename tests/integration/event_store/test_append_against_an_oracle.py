"""Random appends by many callers at once, over two logs, against a dictionary that cannot be wrong."""

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.ports import StreamAppend, VersionConflict
from tests.support.event_logs import event_log, named, user
from tests.support.postgres import fresh_database
from tests.support.sequencing import broken_promises, sequenced


@pytest.fixture(scope="module")
def shared_database(postgres_server):
    with fresh_database(postgres_server) as conninfo:
        yield conninfo


class Oracle:
    """What each stream must hold, by what the callers were told."""

    def __init__(self, streams):
        self.acknowledged = {someone: {} for someone in streams}
        self.attempted = 0

    def was_told(self, appends, conflicted):
        """An acknowledged event has its place for itself; a refused one has none."""
        self.attempted += 1
        if conflicted:
            return
        for each in appends:
            for version, new in enumerate(each.events, each.expected_version + 1):
                taken = self.acknowledged[each.stream_id].setdefault(version, new.metadata.event_id)
                assert taken == new.metadata.event_id, "two events were acknowledged in one place"


async def caller(logs, oracle, streams, seed):
    """Appends at the version that it believes in, which others may have made wrong."""
    chance = random.Random(seed)
    believed = dict.fromkeys(streams, 0)
    for _ in range(chance.randint(1, 12)):
        chosen = chance.sample(streams, chance.choice([1, 1, 1, 1, 2, 3]))
        appends = [
            StreamAppend(
                someone,
                max(0, believed[someone] + chance.choice([0, 0, 0, 0, 0, -1, 1])),
                tuple(named("x") for _ in range(chance.choice([0, 1, 1, 1, 2, 5]))),
            )
            for someone in chosen
        ]
        log = chance.choice(logs)
        try:
            await log.append(appends)
        except VersionConflict:
            oracle.was_told(appends, conflicted=True)
            for someone in chosen:
                believed[someone] = len(await log.load(someone))
        else:
            oracle.was_told(appends, conflicted=False)
            for each in appends:
                if each.events:
                    believed[each.stream_id] = each.expected_version + len(each.events)


@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_acknowledged_is_there_and_nothing_else_is(shared_database, width, callers, seed):
    streams = [user() for _ in range(max(3, width))]
    oracle = Oracle(streams)
    async with event_log(shared_database) as one, event_log(shared_database) as other:
        await asyncio.gather(
            *(caller((one, other), oracle, streams, seed + number) for number in range(callers))
        )
        for someone in streams:
            there = {event.version: event.metadata.event_id for event in await one.load(someone)}
            assert there == oracle.acknowledged[someone]
    sequenced(shared_database)
    assert broken_promises(shared_database) == []
