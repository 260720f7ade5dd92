"""Enrolling: an organisation names its examinees, as often and from as many places as it likes."""

import asyncio
from collections import Counter

import pytest

from commands.enrol_examinees import Enrolled, Examinee, ExamineesDeactivated, enrol_examinees
from domain.users.events import ProfileChanged, RoleGranted, UserDeactivated, UserRegistered
from tests.support.exam_parts import OTHER_SCHOOL, SCHOOL
from tests.support.memory import World


@pytest.fixture
def world():
    return World()


def examinees(*references):
    return [
        Examinee(external_ref=reference, display_name=f"학생 {reference}", language="ko")
        for reference in references
    ]


async def enrol(world, *references, org_id=SCHOOL, write=None):
    context = world.asked_by("importer", kind="service", staff_of=[org_id])
    return await enrol_examinees(write or world.write, context, org_id, "univprep", examinees(*references))


def references_in_the_log(world):
    return Counter(
        recorded.event.external_ref
        for recorded in world.log.all
        if isinstance(recorded.event, UserRegistered)
    )


async def test_who_is_enrolled_has_an_account_in_the_school_and_no_way_to_sign_in(world):
    [enrolled] = await enrol(world, "A-1")

    assert enrolled == Enrolled("A-1", enrolled.user_id, "enrolled", 2)
    registered, granted = world.log.events(enrolled.user_id)
    assert registered == UserRegistered(
        origin="organization",
        zone_id="univprep",
        display_name="학생 A-1",
        language="ko",
        org_id=SCHOOL,
        external_ref="A-1",
    )
    assert granted == RoleGranted(role="student", org_id=SCHOOL)
    assert {recorded.metadata.org_id for recorded in world.log.all} == {SCHOOL}
    assert world.credentials.records == {}


async def test_who_is_enrolled_already_stays_as_they_are(world):
    first = await enrol(world, "A-1", "A-2")
    before = list(world.log.all)

    for write in (world.write, world.another_process()):
        again = await enrol(world, "A-2", "A-1", write=write)
        assert [(each.external_ref, each.status) for each in again] == [
            ("A-2", "existing"),
            ("A-1", "existing"),
        ]
        assert [each.user_id for each in again] == [first[1].user_id, first[0].user_id]
    assert world.log.all == before


async def test_whose_account_was_deactivated_is_named_and_nobody_is_enrolled_beside_them(world):
    first = await enrol(world, "A-1", "A-2", "A-3")
    for each in first[1:]:
        world.record(each.user_id, UserDeactivated(reason="left the school"))
    before = list(world.log.all)

    with pytest.raises(ExamineesDeactivated) as refusal:
        await enrol(world, "B-1", "A-1", "A-3", "A-2")

    assert refusal.value.data() == {"external_refs": ["A-3", "A-2"]}
    assert world.log.all == before
    assert [each.status for each in await enrol(world, "B-1", "A-1")] == ["enrolled", "existing"]


async def test_each_answer_tells_the_version_of_the_account(world):
    [enrolled] = await enrol(world, "A-1")
    world.record(enrolled.user_id, ProfileChanged(display_name="새 이름", language="ko"))

    existing, new = await enrol(world, "A-1", "A-2")

    assert (enrolled.version, existing.version, new.version) == (2, 3, 2)


async def test_answers_come_in_the_order_of_the_question(world):
    await enrol(world, "b")

    report = await enrol(world, "c", "b", "a")

    assert [(each.external_ref, each.status) for each in report] == [
        ("c", "enrolled"),
        ("b", "existing"),
        ("a", "enrolled"),
    ]


async def test_the_same_reference_in_another_school_is_another_person(world):
    [here], [there] = await enrol(world, "A-1"), await enrol(world, "A-1", org_id=OTHER_SCHOOL)

    assert here.user_id != there.user_id
    assert there.status == "enrolled"


async def test_the_reference_itself_is_no_claim(world):
    await enrol(world, "2026-0317")

    assert not any("2026-0317" in key for _, key in world.claims.held)


async def test_all_are_enrolled_or_none(world):
    world.log.fail_before_the_next_append(ConnectionError("the process was killed"))
    with pytest.raises(ConnectionError):
        await enrol(world, "A-1", "A-2")
    assert world.log.all == []

    report = await enrol(world, "A-1", "A-2", "A-3")

    assert [each.status for each in report] == ["enrolled"] * 3
    assert references_in_the_log(world) == Counter(["A-1", "A-2", "A-3"])


@pytest.mark.parametrize("processes", [1, 4])
async def test_the_same_people_enrolled_32_times_at_once_are_enrolled_once(world, processes):
    writing = [world.another_process() for _ in range(processes)]
    people = [f"A-{n}" for n in range(10)]

    reports = await asyncio.gather(*(enrol(world, *people, write=writing[n % processes]) for n in range(32)))

    assert references_in_the_log(world) == Counter(people)
    assert Counter(each.status for report in reports for each in report) == {"enrolled": 10, "existing": 310}
    assert len({tuple(each.user_id for each in report) for report in reports}) == 1


async def test_overlapping_groups_enrolled_at_once_are_all_complete(world):
    groups = [[f"A-{(start + n) % 40}" for n in range(8)] for start in range(0, 40, 2)]

    reports = await asyncio.gather(*(enrol(world, *group) for group in groups))

    assert references_in_the_log(world) == Counter(f"A-{n}" for n in range(40))
    users = {}
    for group, report in zip(groups, reports, strict=True):
        assert [each.external_ref for each in report] == group
        for each in report:
            assert users.setdefault(each.external_ref, each.user_id) == each.user_id
    assert all(len(world.log.events(user_id)) == 2 for user_id in users.values())
