import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from infra.postgres.processes import wait_until
from infra.postgres.runlock import AlreadyRunning, RunLock
from tests.support.postgres import CHECKOUT

HOLDER = """
import os, sys
from pathlib import Path
from infra.postgres.runlock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
if "fork" in sys.argv and os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold(scratch):
    holders = []

    def start(*words):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, scratch / "run.lock", *words],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        assert holder.stdout.readline() == "held\n"
        return holder

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_a_second_start_in_the_same_checkout_is_refused_with_a_clear_sentence(scratch, hold):
    holder = hold()
    with pytest.raises(AlreadyRunning) as caught, RunLock(scratch / "run.lock"):
        pass
    assert caught.value.pid == holder.pid
    assert timedelta(0) <= datetime.now(UTC) - caught.value.since < timedelta(minutes=1)
    assert str(caught.value).startswith(
        f"MegaCity is already running in this checkout (process {holder.pid} since "
    )


def test_another_checkout_is_not_held_up(scratch, hold):
    hold()
    with RunLock(scratch / "elsewhere" / "run.lock") as lock:
        assert lock.path.exists()


def test_the_lock_ends_with_a_killed_holder(scratch, hold):
    holder = hold()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with RunLock(scratch / "run.lock"):
        pass


def test_a_forked_child_does_not_keep_the_lock_of_its_killed_parent(scratch, hold):
    holder = hold("fork")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    # The child lets go as soon as it runs, which may be a moment after its parent is gone.
    assert wait_until(lambda: can_lock(scratch / "run.lock"), time_limit_s=10)


def test_a_holder_lets_go_and_can_take_it_again(scratch):
    lock = RunLock(scratch / "run.lock")
    for _ in range(2):
        with lock, pytest.raises(AlreadyRunning), RunLock(scratch / "run.lock"):
            pass


def test_holding_twice_is_refused_and_does_not_lose_the_first_hold(scratch):
    lock = RunLock(scratch / "run.lock")
    with lock:
        with pytest.raises(AlreadyRunning):
            lock.acquire()
        with pytest.raises(AlreadyRunning), RunLock(scratch / "run.lock"):
            pass
    assert wait_until(lambda: can_lock(scratch / "run.lock"), time_limit_s=1)


def can_lock(path):
    try:
        with RunLock(path):
            return True
    except AlreadyRunning:
        return False
