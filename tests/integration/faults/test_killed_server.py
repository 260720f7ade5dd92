"""PostgreSQL is killed at random moments under load, in every way in which a server can be killed."""

import random
import threading

import pytest

from tests.support.faults.ordeal import ordeal


@pytest.mark.timeout(300)
def test_every_acknowledged_event_is_there_once_and_whole_after_kills_at_random_moments(mortal_server):
    chance = random.Random(4)
    moment = threading.Event()
    with ordeal(mortal_server) as running:
        for victim in ("everything", "backend", "postmaster", "everything", "backend"):
            running.writer.goes_on(chance.randrange(5, 40))
            moment.wait(chance.random() * 0.2)
            assert mortal_server.kill(victim)
        running.writer.goes_on()
        running.follows()
