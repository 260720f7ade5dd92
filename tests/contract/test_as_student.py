"""The API keeps its contract with a student: see tests/support/contract.py."""

from tests.support.contract import ALL_PHASES, facts, run_schemathesis


def test_it_keeps_its_contract_with_a_student(api, school, folder):
    student = school.student()
    known = facts(school, student)
    run_schemathesis(api, folder, known, student.token, max_examples=8, phases=ALL_PHASES)
