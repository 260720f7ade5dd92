"""What is known of a person when access is decided, and what is not."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from commands.deactivate_user import DeactivateUser, deactivate_user
from domain.users.account import GrantedRole, UserNotFound
from infra.policies.attributes import GatheredAttributes, age_years
from tests.support.api import bootstrap_context, eventually, running_api
from tests.support.exam_parts import uuid7
from tests.support.postgres import fresh_database, run_folder


@pytest.fixture(scope="module")
def api(postgres_server):
    with (
        run_folder("attributes") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, role="all") as running,
    ):
        yield running


def gathered(api, user_id, **said):
    pool = api.services.projector_pool
    attributes = GatheredAttributes(api.write.streams, pool, clock=api.clock, **said)
    return api.run(attributes.of(user_id))


def test_account_roles_and_organisations_are_those_of_now_with_their_version(api):
    school = api.school()
    person = api.person(
        GrantedRole("teacher", school.org_id), GrantedRole("student", None), org_id=school.org_id
    )
    found = gathered(api, person.user_id)
    asker = found.principal
    assert (asker.id, asker.zone, asker.roles) == (person.user_id, "univprep", ("student", "teacher"))
    assert asker.organizations == (school.org_id,)
    assert (asker.has_active_exam, asker.subscription_status, asker.email_verified) == (False, "none", False)
    assert found.versions[person.user_id] == len(api.events(person.user_id))


def test_an_administrators_role_in_one_organisation_is_none_over_a_zone(api):
    school = api.school()
    roles = (GrantedRole("sys_admin", school.org_id), GrantedRole("zone_admin", school.org_id))
    person = api.person(*roles, GrantedRole("teacher", school.org_id), org_id=school.org_id)
    assert gathered(api, person.user_id).principal.roles == ("teacher",)


def test_who_does_not_exist_or_has_left_is_not_found(api):
    left = api.person()
    api.run(
        deactivate_user(
            api.write,
            bootstrap_context(),
            DeactivateUser(user_id=left.user_id, reason="left"),
        )
    )
    for user_id in (f"user-{uuid7(0xFA)}", left.user_id, f"exam-{uuid7(0xFA)}", "nobody"):
        with pytest.raises(UserNotFound):
            gathered(api, user_id)


def test_while_the_read_model_stays_behind_nobody_can_say_whether_an_exam_is_under_way(api):
    student = api.school().student()
    assert gathered(api, student.user_id).principal.has_active_exam is False
    with psycopg.connect(api.database.admin_conninfo) as admin:
        # Whoever applies events waits for this row; the log goes on.
        admin.execute("SELECT FROM ops.projections WHERE name = 'attempts' FOR UPDATE")
        api.school()
        found = gathered(api, student.user_id, waits_s=0.2)
        assert found.principal.has_active_exam is None
    eventually(lambda: gathered(api, student.user_id).principal.has_active_exam is False)


@pytest.mark.parametrize(
    ("status", "paid_for", "told"),
    [
        ("active", timedelta(days=1), "active"),
        ("cancelled", timedelta(days=1), "cancelled"),
        ("active", timedelta(seconds=-1), "expired"),
        ("cancelled", timedelta(seconds=-1), "expired"),
        ("expired", timedelta(days=-1), "expired"),
    ],
)
def test_a_subscription_counts_for_as_long_as_it_is_paid_for(api, status, paid_for, told):
    person = api.person()
    subscription_id = f"subscription-{uuid7(0xFB)}"
    with psycopg.connect(api.database.admin_conninfo) as admin:
        admin.execute(
            "INSERT INTO read.subscriptions (user_id, subscription_id, zone_id, plan, status, started_at,"
            " paid_until, paid_as_of, version)"
            " VALUES (%s, %s, 'univprep', 'premium', %s, now(), %s, now(), 4)",
            [person.user_id, subscription_id, status, api.clock() + paid_for],
        )
    found = gathered(api, person.user_id)
    assert found.principal.subscription_status == told
    assert found.versions[subscription_id] == 4


@pytest.mark.parametrize(
    ("born", "now", "years"),
    [
        ("2012-03-02", datetime(2026, 3, 1, 14, 59, tzinfo=UTC), 13),
        ("2012-03-02", datetime(2026, 3, 1, 15, 0, tzinfo=UTC), 14),  # the birthday begins in Korea
        ("2012-02-29", datetime(2026, 2, 28, 12, 0, tzinfo=UTC), 13),
        ("2012-02-29", datetime(2026, 3, 1, 12, 0, tzinfo=UTC), 14),
        ("2026-03-01", datetime(2026, 3, 1, 12, 0, tzinfo=UTC), 0),
        ("2030-01-01", datetime(2026, 3, 1, 12, 0, tzinfo=UTC), None),
        ("1700-01-01", datetime(2026, 3, 1, 12, 0, tzinfo=UTC), None),
        ("no date", datetime(2026, 3, 1, 12, 0, tzinfo=UTC), None),
        (None, datetime(2026, 3, 1, 12, 0, tzinfo=UTC), None),
    ],
)
def test_age_is_in_whole_years_by_the_calendar_of_korea(born, now, years):
    assert age_years(born, now) == years
