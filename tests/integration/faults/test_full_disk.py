"""The disk is full: writers are told to come back, nothing is lost, and all goes on when there is room again.

The disk is full by a shim that is loaded into PostgreSQL, or really: a small one that root mounts.
"""

import pytest

from tests.support.faults.disk import SETTINGS, full_and_free_again
from tests.support.faults.ordeal import ordeal
from tests.support.faults.servers import faulty_server


@pytest.fixture(scope="module")
def server():
    with faulty_server(shim=True, **SETTINGS) as server, server.looked_after():
        yield server


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", ["base", "pg_wal"])
def test_a_disk_that_is_full_for_a_while_costs_time_and_no_event(server, part):
    before = len(server.log_text())
    with ordeal(server) as running:
        full_and_free_again(server, running, part)
    told = server.log_text()[before:]
    assert "No space left on device" in told
    # Without room for its write-ahead log PostgreSQL stops altogether: that too must have been met.
    assert ("PANIC" in told) == (part == "pg_wal")
