"""The API keeps its contract with a program: see tests/support/contract.py."""

from tests.support.contract import facts, run_schemathesis


def test_it_keeps_its_contract_with_a_program(api, school, folder):
    _, service = school.service()
    known = facts(school, service)
    run_schemathesis(api, folder, known, service.token, max_examples=5, phases="examples,fuzzing")
