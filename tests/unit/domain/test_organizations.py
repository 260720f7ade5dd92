"""An organisation and the programs that may sign in for it."""

from commands.kinds import ORGANIZATION
from domain.organizations.events import OrganizationFounded, ServiceClientAdded
from domain.organizations.organization import (
    Founded,
    OrganizationExists,
    OrganizationNotFound,
    ServiceClient,
    Unfounded,
    add_service_client,
    found,
)
from domain.users.events import RoleGranted
from tests.support.given import fold, given

FOUNDED = OrganizationFounded(name="하늘 학원", zone_id="univprep")
ADDED = ServiceClientAdded(client_id="grader", name="Grader", credential_id="c1", roles=("service",))
ANOTHER = ServiceClientAdded(client_id="importer", name="Importer", credential_id="c2", roles=("service",))


def test_an_organisation_is_founded_in_a_zone():
    given(ORGANIZATION).when(found, "하늘 학원", "univprep").then(FOUNDED)


def test_an_organisation_is_founded_once():
    given(ORGANIZATION, FOUNDED).when(found, "바다 학원", "univprep").then_refused(OrganizationExists)


def test_a_program_is_let_in():
    after = given(ORGANIZATION, FOUNDED).when(add_service_client, ADDED).then(ADDED)

    assert after.state == Founded(
        name="하늘 학원",
        zone_id="univprep",
        clients=(ServiceClient("grader", "Grader", "c1", ("service",)),),
    )


def test_programs_are_found_by_their_id_and_by_nothing_else():
    state = fold(ORGANIZATION, (FOUNDED, ADDED, ANOTHER))

    assert state.client("importer") == ServiceClient("importer", "Importer", "c2", ("service",))
    assert state.client("Importer") is None


def test_the_same_client_id_a_second_time_changes_nothing():
    again = ServiceClientAdded(client_id="grader", name="Other", credential_id="c9", roles=("org_admin",))

    given(ORGANIZATION, FOUNDED, ADDED).when(add_service_client, again).then_nothing()


def test_an_organisation_that_does_not_exist_lets_nobody_in():
    given(ORGANIZATION).when(add_service_client, ADDED).then_refused(OrganizationNotFound)


def test_facts_that_belong_elsewhere_change_nothing():
    founded = fold(ORGANIZATION, (FOUNDED,))

    assert fold(ORGANIZATION, (RoleGranted(role="student"),), founded) is founded
    assert fold(ORGANIZATION, (ADDED,)) == Unfounded()
