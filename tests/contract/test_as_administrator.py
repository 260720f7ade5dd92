"""The API keeps its contract with an administrator: see tests/support/contract.py."""

from tests.support.contract import facts, run_schemathesis


def test_it_keeps_its_contract_with_an_administrator(api, school, folder):
    admin = school.admin()
    known = facts(school, admin)
    run_schemathesis(api, folder, known, admin.token, max_examples=5, phases="examples,fuzzing")
