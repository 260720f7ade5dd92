"""What /metrics shows of a running system: every figure that an alarm hangs on."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.api import eventually, running_api
from tests.support.postgres import run_folder

OF_THE_LOG = {
    "megacity_append_duration_seconds",
    "megacity_append_batch_commands",
    "megacity_append_conflicts",
    "megacity_events_appended",
    "megacity_event_log_calls_rejected",
    "megacity_sequencer_lag_events",
    "megacity_sequencer_lag_seconds",
    "megacity_projection_lag_events",
    "megacity_projection_lag_seconds",
    "megacity_projection_poison_events",
    "megacity_projection_events_set_aside",
    "megacity_projection_failures",
}
OF_THE_RELAY = {"megacity_relay_lag_events", "megacity_relay_lag_seconds", "megacity_relay_errors"}


def shown(api):
    answer = httpx.get(f"{api.base_url}/metrics", trust_env=False)
    assert answer.status_code == 200
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(family, **labels):
    [sample] = [
        each for each in family.samples if not each.name.endswith("_created") and each.labels == labels
    ]
    return sample.value


def test_a_running_system_shows_the_figures_of_append_sequencer_and_projections(database):
    with run_folder("metrics") as folder, running_api(database, folder / "var") as api:
        api.school().bank()
        # Labelled ones come with their first value.
        families = eventually(
            lambda: (
                found
                if "megacity_projection_lag_events" in (found := shown(api))
                and value(found["megacity_projection_position"], projection="audit") > 0
                and value(found["megacity_sequencer_lag_events"]) == 0
                else None
            )
        )
        assert {name for name in OF_THE_LOG if name not in families} == set()
        appended = families["megacity_events_appended"].samples
        assert sum(each.value for each in appended if each.name.endswith("_total")) >= 3
        duration = families["megacity_append_duration_seconds"].samples
        assert next(each.value for each in duration if each.name.endswith("_count")) >= 3
        assert value(families["megacity_sequencer_leads"]) == 1
        for projection in ("people", "catalogue", "attempts", "item_analysis", "audit"):
            for name in ("megacity_projection_lag_events", "megacity_projection_lag_seconds"):
                assert value(families[name], projection=projection) >= 0


def test_a_relay_that_reaches_no_broker_shows_how_far_behind_it_is(database):
    with run_folder("metrics") as folder:
        with running_api(database, folder / "var") as api:
            api.school()
            eventually(lambda: value(shown(api)["megacity_sequencer_position"]) > 0)
        kafka = {"bootstrap_servers": "127.0.0.1:9"}
        with running_api(database, folder / "var", role="relay", kafka=kafka) as relay:
            families = eventually(
                lambda: (
                    found
                    if value((found := shown(relay))["megacity_relay_lag_events"]) > 0
                    and value(found["megacity_relay_errors"]) > 0
                    else None
                )
            )
    assert families.keys() >= OF_THE_RELAY
    assert value(families["megacity_relay_lag_seconds"]) > 0


@pytest.mark.parametrize("role", ["read-api", "projector"])
def test_each_role_shows_how_the_log_and_the_projections_stand(database, role):
    with run_folder("metrics") as folder, running_api(database, folder / "var", role=role) as api:
        assert shown(api).keys() >= {"megacity_sequencer_lag_events", "megacity_projection_lag_events"}
