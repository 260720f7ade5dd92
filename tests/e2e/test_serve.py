"""`megacity serve` by itself, without the supervisor."""

import signal

import pytest

from tests.support.api import eventually
from tests.support.system import installation


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_takes_the_database_it_started_with_it(sign):
    with installation() as place:
        place.run("migrate")
        server = place.start("serve", "all", "--port", "0")
        eventually(place.is_ready, within_s=60)
        assert place.postgres.status().running

        server.send_signal(sign)
        server.communicate(timeout=60)

        assert not place.postgres.status().running
