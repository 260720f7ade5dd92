"""The whole log against an in-memory model; its long form is in tests/soak."""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.support.faults.model import machine, runs


@pytest.mark.timeout(300)
def test_whatever_happens_the_log_is_what_the_model_says(database):
    run_state_machine_as_test(machine(database), settings=runs(6, 20, derandomize=True, database=None))
