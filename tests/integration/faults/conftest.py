from collections.abc import Iterator

import pytest

from tests.support.faults.servers import FaultyServer, faulty_server


@pytest.fixture(scope="module")
def mortal_server() -> Iterator[FaultyServer]:
    """Killed as often as a test wants, and started again each time."""
    with faulty_server() as server, server.looked_after():
        yield server
