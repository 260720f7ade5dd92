"""Zones over HTTP: what each is waiting for, who may turn one on, and what that means for registering."""

import pytest

from commands.kinds import ZONE
from commands.zones import definition_of, open_first_zones
from domain.users.account import GrantedRole
from domain.zones import ZONES
from domain.zones.events import ZoneActivated, ZoneConfigured, ZoneDeactivated
from domain.zones.zone import Active
from tests.support.api import PASSWORD, bootstrap_context, eventually, refusal, running_api
from tests.support.postgres import fresh_database, run_folder

WHY = {"reason": "Everything is in place."}


@pytest.fixture(scope="module")
def api(postgres_server):
    with (
        run_folder("zones") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def root(api):
    return api.person(GrantedRole("sys_admin")).http


@pytest.fixture
def anybody(api):
    return api.client()


def keeper(api, zone_id):
    """An administrator of the zone."""
    return api.person(GrantedRole("zone_admin"), zone_id=zone_id).http


def register(client, zone_id, number):
    body = {"email": f"zone-{zone_id}-{number}@example.org", "password": PASSWORD, "display_name": "Lee"}
    return client.post("/auth/register", json={**body, "zone_id": zone_id})


def stands_for(client, zone_id, prerequisite="stable", evidence="Operations report of March"):
    body = {"prerequisite": prerequisite, "evidence": evidence}
    return client.post(f"/zones/{zone_id}/attestations", json=body)


def test_everybody_sees_which_zones_there_are_and_that_one_is_open(anybody):
    answer = anybody.get("/zones")
    assert answer.status_code == 200
    zones = answer.json()["zones"]
    assert [each["zone_id"] for each in zones] == list(ZONES)
    assert [each["zone_id"] for each in zones if each["active"]] == ["univprep"]


def test_the_first_start_records_the_open_zone_once(api):
    stream = definition_of("univprep").stream_id
    for _ in range(2):
        api.run(open_first_zones(api.write, bootstrap_context()))
    assert [type(each) for each in api.events(stream)] == [ZoneConfigured, ZoneActivated]
    assert isinstance(api.run(api.write.streams.read(ZONE, stream)).state, Active)


def test_a_zone_that_waits_for_nothing_is_turned_on_and_off(root, anybody):
    assert refusal(register(anybody, "majorprep", 1)) == (409, "zone-not-active")

    turned_on = root.post("/zones/majorprep/activate", json=WHY)
    assert (turned_on.status_code, turned_on.json()["active"]) == (200, True)
    assert turned_on.headers["Consistency-Token"]
    registered = register(anybody, "majorprep", 1)
    assert (registered.status_code, registered.json()["zone_id"]) == (201, "majorprep")

    turned_off = root.post("/zones/majorprep/deactivate", json={"reason": "A fault in its items"})
    assert (turned_off.status_code, turned_off.json()["active"]) == (200, False)
    assert refusal(register(anybody, "majorprep", 2)) == (409, "zone-not-active")
    # Who is in it stays: the account signs in and sees itself.
    login = anybody.post("/auth/login", json={"email": "zone-majorprep-1@example.org", "password": PASSWORD})
    assert login.status_code == 200


def test_turning_on_twice_says_the_same_and_records_it_once(api, root):
    first, second = (root.post("/zones/mediaprep/activate", json=WHY) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    recorded = [type(each) for each in api.events(definition_of("mediaprep").stream_id)]
    assert recorded == [ZoneConfigured, ZoneActivated]


def test_what_cannot_be_counted_is_attested_and_then_the_zone_can_be_turned_on(api, root):
    keeps = keeper(api, "mpcstudy")
    refused = root.post("/zones/mpcstudy/activate", json=WHY)
    assert refusal(refused) == (409, "zone-not-ready")
    assert [each["prerequisite"] for each in refused.json()["missing"]] == ["migration"]

    attested = stands_for(keeps, "mpcstudy", "migration", "Record of the migration, 2 March")
    assert (attested.status_code, attested.json()["attested"]) == (201, ["migration"])
    shown = keeps.get("/zones/mpcstudy").json()["prerequisites"]
    assert [each["fulfilled"] for each in shown] == [True]
    assert shown[0]["attestation"]["evidence"] == "Record of the migration, 2 March"

    assert root.post("/zones/mpcstudy/activate", json=WHY).json()["active"] is True
    recorded = api.events(definition_of("mpcstudy").stream_id)[-1]
    assert isinstance(recorded, ZoneActivated)
    assert (recorded.origin, recorded.reason, recorded.attested) == (
        "order",
        WHY["reason"],
        ("migration",),
    )

    assert root.post("/zones/mpcstudy/deactivate", json=WHY).json()["attested"] == []
    assert isinstance(api.events(definition_of("mpcstudy").stream_id)[-1], ZoneDeactivated)


def test_the_refusal_counts_what_can_be_counted(root):
    refused = root.post("/zones/skillprep/activate", json=WHY)
    assert refusal(refused) == (409, "zone-not-ready")
    missing = {each["prerequisite"]: each for each in refused.json()["missing"]}
    assert list(missing) == ["items", "testers", "univprep-open", "univprep-stable", "cbt-verified"]
    assert (missing["items"]["found"], missing["items"]["at_least"]) == (0, 1000)
    assert missing["cbt-verified"]["kind"] == "attested"


def test_what_happens_in_the_zone_is_counted_and_in_no_other(api, root):
    def counted(zone_id):
        measures = api.services.zone_measures
        names = ("published_exams", "published_items", "adaptive_exams", "tested_people")
        return [api.run(measures.count(zone_id, each)) for each in names]

    assert counted("kzone") == [0, 0, 0, 0]
    school = api.school(zone_id="kzone")
    exam = school.exam()
    school.draft([exam.item_ids[0]])  # counts for nothing
    student = school.student()
    attempt = student.http.post(f"/exams/{exam.exam_id}/attempts").json()["attempt_id"]
    eventually(lambda: counted("kzone") == [1, 3, 0, 0])

    assert student.http.post(f"/attempts/{attempt}/submit").status_code == 200
    eventually(lambda: counted("kzone") == [1, 3, 0, 1])
    shown = root.get("/zones/kzone").json()["prerequisites"]
    assert {each["prerequisite"]: each["found"] for each in shown}["testers"] == 1
    assert counted("univprep") == [0, 0, 0, 0]


@pytest.mark.parametrize("order", ["activate", "deactivate"])
@pytest.mark.parametrize("role", ["student", "teacher", "org_admin", "zone_admin"])
def test_nobody_but_a_system_administrator_turns_a_zone_on_or_off(api, order, role):
    org_id = None if role in {"student", "zone_admin"} else api.school().org_id
    person = api.person(GrantedRole(role, org_id), org_id=org_id)
    assert refusal(person.http.post(f"/zones/univprep/{order}", json=WHY)) == (403, "role-required")
    assert api.client().post(f"/zones/univprep/{order}", json=WHY).status_code == 401


@pytest.mark.parametrize("role", ["student", "teacher", "org_admin"])
def test_who_does_not_administer_a_zone_stands_for_nothing_in_it(api, role):
    org_id = None if role == "student" else api.school().org_id
    person = api.person(GrantedRole(role, org_id), org_id=org_id)
    assert refusal(stands_for(person.http, "univprep")) == (403, "role-required")


def test_an_administrator_of_a_zone_attests_for_that_zone_only(api):
    keeps = keeper(api, "collegeprep")
    assert stands_for(keeps, "collegeprep").status_code == 201
    assert refusal(stands_for(keeps, "univprep")) == (403, "zone-not-yours")
    assert api.events(definition_of("collegeprep").stream_id)[-1].attested_by.startswith("user-")


def test_a_system_administrator_attests_for_any_zone(root):
    assert stands_for(root, "kzone_ai").status_code == 201


@pytest.mark.parametrize(
    ("zone_id", "prerequisite", "evidence", "expected"),
    [
        ("nowhere", "stable", "A report", (404, "zone-not-found")),
        ("kzone", "no-such-thing", "A report", (404, "prerequisite-not-found")),
        ("kzone", "testers", "I counted them", (409, "prerequisite-is-checked")),
        ("kzone", "stable", "   ", (422, "invalid-request")),
        ("kzone", "stable", "", (422, "invalid-request")),
    ],
)
def test_an_attestation_that_cannot_count_is_refused(root, zone_id, prerequisite, evidence, expected):
    assert refusal(stands_for(root, zone_id, prerequisite, evidence)) == expected


@pytest.mark.parametrize("order", ["activate", "deactivate"])
def test_turning_a_zone_that_does_not_exist_is_refused(root, order):
    assert refusal(root.post(f"/zones/nowhere/{order}", json=WHY)) == (404, "zone-not-found")


@pytest.mark.parametrize("order", ["activate", "deactivate"])
def test_turning_a_zone_needs_words(root, order):
    for body in ({}, {"reason": ""}, {"reason": " \n"}):
        assert refusal(root.post(f"/zones/majorprep/{order}", json=body)) == (422, "invalid-request")


def test_what_a_zone_waits_for_is_shown_to_its_staff_alone(api, root):
    student = api.person(GrantedRole("student")).http
    teacher = api.school().teacher.http
    for zone_id, client, sees in (
        ("univprep", student, False),
        ("univprep", teacher, True),
        ("kzone", teacher, False),
        ("kzone", root, True),
    ):
        shown = client.get(f"/zones/{zone_id}").json()
        assert (shown["prerequisites"] is not None) is sees, zone_id
    assert refusal(api.client().get("/zones/univprep"))[0] == 401
    assert refusal(student.get("/zones/nowhere")) == (404, "zone-not-found")
