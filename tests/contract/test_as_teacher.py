"""The API keeps its contract with a teacher: see tests/support/contract.py."""

from tests.support.contract import ALL_PHASES, facts, run_schemathesis


def test_it_keeps_its_contract_with_a_teacher(api, school, folder):
    known = facts(school, school.teacher)
    run_schemathesis(api, folder, known, school.teacher.token, max_examples=12, phases=ALL_PHASES)
