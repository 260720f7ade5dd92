"""Connections break in mid-acknowledgement under load: nothing is lost, nothing is there twice."""

import pytest

from tests.support.faults.lines import break_lines
from tests.support.faults.ordeal import ordeal
from tests.support.faults.proxy import Proxy


@pytest.mark.timeout(300)
def test_lines_that_break_in_the_middle_of_anything_cost_no_event_and_double_none(mortal_server):
    with (
        Proxy.to(mortal_server.shared.admin_conninfo()) as line,
        ordeal(mortal_server, line=line) as running,
    ):
        break_lines(running, line, rounds=12, seed=17)
