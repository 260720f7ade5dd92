"""More failed sign-ins in an hour than there usually are: counted over all processes, and said once."""

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from infra.auth.failures import SURGE_IN_AN_HOUR, SignInFailures
from infra.observability.sign_in_metrics import SignInMetrics
from tests.support.accounts import registered, sign_in
from tests.support.api import Clock, eventually, running_api
from tests.support.postgres import run_folder


@pytest.fixture
def api(database):
    with run_folder("surge") as folder, running_api(database, folder, role="api", clock=Clock()) as running:
        yield running


def process(api):
    registry = CollectorRegistry()
    failures = SignInFailures(api.services.writer_pool, SignInMetrics.create(registry), clock=api.clock)
    return failures, registry


def fail(failures, times):
    for _ in range(times):
        failures.count()


def warnings(logged):
    return [each for each in logged if each["event"] == "many sign-ins fail"]


def test_failures_of_all_processes_are_added_up_and_a_surge_is_said_once(api):
    (one, registry), (other, _) = process(api), process(api)
    with capture_logs() as logged:
        fail(one, 60)
        fail(other, SURGE_IN_AN_HOUR - 60)
        api.run(one.flush())
        assert api.run(other.flush()) == SURGE_IN_AN_HOUR
        assert warnings(logged) == []
        fail(one, 1)
        assert api.run(one.flush()) == SURGE_IN_AN_HOUR + 1
        assert registry.get_sample_value("megacity_sign_ins_failed_last_hour") == SURGE_IN_AN_HOUR + 1
        assert registry.get_sample_value("megacity_sign_ins_failed_total") == 61
        fail(one, 5)
        api.run(one.flush())
    [warning] = warnings(logged)
    assert warning["log_level"] == "warning"
    assert warning["failed_last_hour"] == SURGE_IN_AN_HOUR + 1


def test_a_surge_that_is_over_may_be_followed_by_another_that_is_said_too(api):
    failures, registry = process(api)
    with capture_logs() as logged:
        for _ in range(2):
            fail(failures, SURGE_IN_AN_HOUR + 1)
            api.run(failures.flush())
            api.clock.advance(timedelta(hours=1, minutes=1).total_seconds())
            assert api.run(failures.flush()) == 0
            assert registry.get_sample_value("megacity_sign_ins_failed_last_hour") == 0
    assert len(warnings(logged)) == 2


def test_what_could_not_be_added_up_is_added_later(api):
    failures, _ = process(api)
    fail(failures, 3)
    api.query("ALTER TABLE ops.sign_in_failures RENAME TO away")
    with pytest.raises(Exception, match="sign_in_failures"):
        api.run(failures.flush())
    api.query("ALTER TABLE ops.away RENAME TO sign_in_failures")
    fail(failures, 1)
    assert api.run(failures.flush()) == 4


def test_a_refused_sign_in_counts_whatever_was_wrong_and_an_accepted_one_does_not(api):
    account = registered(api)
    assert sign_in(api, account, "not the one").status_code == 401
    unknown = {"email": "nobody@example.org", "password": "not the one"}
    assert api.client().post("/auth/login", json=unknown).status_code == 401
    program = {"grant_type": "client_credentials", "client_id": "client-x", "client_secret": "wrong"}
    assert api.client().post("/auth/token", json=program).status_code == 401
    assert sign_in(api, account).status_code == 200
    total = "SELECT coalesce(sum(failures), 0)::int FROM ops.sign_in_failures"
    eventually(lambda: api.query(total) == [(3,)])
