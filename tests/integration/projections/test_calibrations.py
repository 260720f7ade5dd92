"""Calibrations of banks as rows: the same however they came about, and nobody's but the staff's."""

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from infra.projections.rebuild import rebuild, verify
from infra.projections.runner import ProjectionRunner
from projections.calibrations.projection import CalibrationsProjection
from projections.rows import RowMissing
from tests.support.projecting import eventually
from tests.support.recorded_calibrations import CALIBRATED, CALIBRATION_EVENTS, FOUND, RULES
from tests.support.story import ORG, OTHER_ORG, Story, StoryFeed

PROJECTION = CalibrationsProjection()
KEYS = {
    "bank_scales": "bank_id",
    "calibrations": "calibration_id",
    "calibrated_items": "calibration_id, ordinal",
    "promoted_items": "bank_id, bank_version, item_id",
    "drift_alarms": "calibration_id, ordinal",
}
RULES_SET, FIRST, DRIFT, PROMOTED = CALIBRATION_EVENTS.values()
SECOND = msgspec.structs.replace(CALIBRATED, calibration_id="second", bank_version=4)


@pytest.fixture
def story():
    """A bank that was calibrated twice, with a promotion between, and one that nothing happened to."""
    story = Story()
    bank = story.bank("calibrated")
    story.bank("new")
    for event in (RULES_SET, FIRST, DRIFT, PROMOTED, SECOND):
        story.add(bank, event)
    return story


def applied(connection, events, size=500):
    for start in range(0, len(events), size):
        with connection.transaction(), connection.cursor() as cursor:
            PROJECTION.apply(cursor, events[start : start + size])


def rows(connection):
    return {
        table: connection.execute(f"SELECT * FROM read.{table} ORDER BY {key}").fetchall()
        for table, key in KEYS.items()
    }


def test_rows_say_what_was_found_decided_and_alarming(projector, story):
    applied(projector, story.events)
    found = rows(projector)

    calibrated, new = found["bank_scales"]
    shown = ("bank_version", "calibration_id", "version")
    assert [calibrated[each] for each in shown] == [4, "second", 6]
    assert calibrated["rules"] == msgspec.to_builtins(RULES)
    assert [new[each] for each in shown] == [1, None, 1]
    assert [each["proposals"] for each in found["calibrations"]] == [{"reject": 1, "review": 1}] * 2
    assert {each["version"] for each in found["calibrations"]} == {3, 6}
    assert len(found["calibrated_items"]) == 2 * len(CALIBRATED.items)
    [promoted] = found["promoted_items"]
    assert (promoted["bank_version"], promoted["parameters"]) == (4, msgspec.to_builtins(FOUND))
    assert promoted["promoted_by"] == "tests"
    [alarm] = found["drift_alarms"]
    assert alarm["drift"]["change_b"] == 0.5


def test_the_rows_are_the_same_for_every_batch_size_and_when_events_come_twice(projector, story):
    seen = []
    for size in (1, 2, 500):
        for table in KEYS:
            projector.execute(f"DELETE FROM read.{table}")
        applied(projector, story.events, size)
        seen.append(rows(projector))
    assert seen[0] == seen[1] == seen[2]


def test_a_rebuild_gives_the_same_rows_and_verifies(connect, projector, story):
    feed = StoryFeed(story)
    runner = ProjectionRunner(PROJECTION, feed, connect, poll_interval_s=0.05)
    runner.start()
    eventually(lambda: runner.position == len(story.events))
    assert runner.stop()
    before = rows(projector)

    rebuild(PROJECTION, feed, projector, lambda _done, _all: None)

    assert rows(projector) == before
    assert verify(PROJECTION, feed, projector).agrees


def test_a_calibration_of_a_bank_that_nobody_made_is_an_error(projector):
    story = Story()
    story.add(story.new_id("item_bank"), FIRST)
    with pytest.raises(RowMissing):
        applied(projector, story.events)


@pytest.mark.parametrize(
    ("roles", "zone", "sees"),
    [
        (f"teacher@{ORG}", "univprep", True),
        (f"student@{ORG}", "univprep", False),
        (f"teacher@{OTHER_ORG}", "univprep", False),
        (f"teacher@{ORG}", "kzone", False),
        ("student", "univprep", False),
        ("", "", False),
    ],
    ids=["its teacher", "a student", "another school", "another zone", "anybody", "nobody"],
)
def test_parameters_are_for_the_staff_of_the_bank_alone(  # noqa: PLR0917 - fixtures and cases
    projector, reader_conninfo, story, roles, zone, sees
):
    applied(projector, story.events)
    for role, org in (("teacher", ORG), ("student", ORG), ("teacher", OTHER_ORG)):
        projector.execute(
            "INSERT INTO read.memberships VALUES ('user-x', %s, %s, %s, 'univprep', now())", [role, org, org]
        )
    with psycopg.connect(reader_conninfo, row_factory=dict_row) as reader:
        reader.execute(
            "SELECT set_config('app.user_id', 'user-x', true), set_config('app.zone_id', %s, true),"
            " set_config('app.org_ids', %s, true), set_config('app.roles', %s, true)",
            [zone, f"{ORG},{OTHER_ORG}", roles],
        )
        seen = rows(reader)
    assert all(bool(found) == sees for found in seen.values()), seen
