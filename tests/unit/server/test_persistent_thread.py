"""A thread that lives on whatever its work raises, and ends when it is told to."""

import threading

import pytest

from infra.persistent_thread import PersistentThread


class Fault(Exception):
    pass


class Work:
    """Fails as often as it is to, then waits until it is told to stop."""

    def __init__(self, faults, *, deaf=False):
        self.stopping = threading.Event()
        self.released = threading.Event()
        self.waits = threading.Event()
        self.pauses = []
        self._faults = faults
        self._deaf = deaf
        self.thread = PersistentThread(
            "work",
            self,
            self.stopping,
            lambda _, pause_s: self.pauses.append(pause_s),
            interrupt=self.released.set,
            grace_s=0.01,
            longest_pause_s=0.3,
        )

    def __call__(self):
        if self._faults:
            if self._faults.pop(0) == "after progress":
                self.thread.progressed()
            raise Fault
        self.waits.set()
        (self.released if self._deaf else self.stopping).wait()


def test_work_that_fails_is_tried_again_ever_more_slowly():
    work = Work(["at once"] * 4)
    work.thread.start()
    assert work.waits.wait(10)
    assert work.pauses == [0.1, 0.2, 0.3, 0.3]
    assert work.thread.stop(5)


def test_a_fault_after_progress_begins_with_a_short_pause_again():
    work = Work(["at once", "at once", "after progress"])
    work.thread.start()
    assert work.waits.wait(10)
    assert work.pauses == [0.1, 0.2, 0.1]
    assert work.thread.stop(5)


def test_what_does_not_hear_that_it_is_to_stop_is_interrupted():
    work = Work([], deaf=True)
    work.thread.start()
    assert work.waits.wait(10)
    assert work.thread.stop(5)
    assert work.released.is_set()


def test_what_does_not_end_in_time_is_told_of_and_may_be_asked_again():
    released = threading.Event()

    def wait():
        released.wait()

    thread = PersistentThread("stubborn", wait, threading.Event(), lambda *_: None, grace_s=0.01)
    thread.start()
    assert not thread.stop(0.05)
    released.set()
    assert thread.stop(5)


def test_work_that_is_done_ends_the_thread_which_can_be_started_again():
    done = threading.Semaphore(0)
    thread = PersistentThread("once", done.release, threading.Event(), lambda *_: None)
    for _ in range(2):
        thread.start()
        assert done.acquire(timeout=5)
        assert thread.stop(5)


def test_a_thread_that_runs_is_not_started_twice():
    work = Work([])
    work.thread.start()
    with pytest.raises(RuntimeError):
        work.thread.start()
    assert work.thread.stop(5)


def test_a_fault_on_the_way_to_the_end_is_nobodys_concern():
    stopping, told = threading.Event(), []

    def fall():
        stopping.wait()
        raise Fault

    thread = PersistentThread("falls", fall, stopping, lambda *fault: told.append(fault))
    thread.start()
    assert thread.stop(5)
    assert told == []
