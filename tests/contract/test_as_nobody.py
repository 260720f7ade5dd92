"""The API keeps its contract with somebody who is not signed in: see tests/support/contract.py."""

from tests.support.contract import facts, run_schemathesis


def test_it_keeps_its_contract_with_somebody_who_is_not_signed_in(api, school, folder):
    known = facts(school, school.teacher)
    run_schemathesis(api, folder, known, None, max_examples=3, phases="examples,fuzzing")
