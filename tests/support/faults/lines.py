"""Lines to the server that break in the middle of a request, of an acknowledgement, of a message."""

import random
import threading

from tests.support.faults.ordeal import Ordeal
from tests.support.faults.proxy import Proxy


def break_lines(running: Ordeal, line: Proxy, *, rounds: int, seed: int) -> None:
    """Round after round in another way, while the writer writes."""
    chance = random.Random(seed)
    moment = threading.Event()
    for _ in range(rounds):
        match chance.randrange(4):
            case 0:  # what was asked for is done, and nobody is told
                # Every event of the writer's names a service of this name.
                assert line.lose_answer(b'"load"').happened.wait(30), "nothing was written"
            case 1:
                assert line.lose_request(b'"load"').happened.wait(30), "nothing was written"
            case 2:
                line.cut_after(chance.randrange(1, 5_000))
            case _:
                line.refuse()
                moment.wait(chance.random() * 0.3)
                line.accept()
        running.writer.goes_on(chance.randrange(1, 10))
