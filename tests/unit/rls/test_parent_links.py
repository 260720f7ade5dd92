"""Links between parents and students: who may ask, who answers, who lets go."""

import pytest

from commands.parent_links import (
    LinkOrder,
    RequestLink,
    approve_link,
    reject_link,
    request_link,
    revoke_link,
)
from commands.ports import AccessNotApplied
from domain.parent_links import link
from domain.parent_links.events import (
    LinkApproved,
    LinkExpired,
    LinkRejected,
    LinkRequested,
    LinkRevoked,
)
from domain.parent_links.link import (
    Approved,
    Ends,
    LinkNotApproved,
    LinkNotFound,
    LinkNotPending,
    Over,
    OwnParent,
    Requested,
    Unrequested,
)
from domain.users.account import UserNotFound
from domain.users.events import UserDeactivated
from tests.support.exam_parts import OTHER_STUDENT, STUDENT, TEACHER
from tests.support.memory import ZONE, World

PARENT = TEACHER
ENDS = Ends(PARENT, STUDENT, ZONE)


@pytest.fixture
def world():
    world = World()
    for each in (PARENT, STUDENT, OTHER_STUDENT):
        world.given_user(each)
    return world


async def requested(world):
    asked = await request_link(world.write, world.asked_by(PARENT), RequestLink(student_id=STUDENT))
    return LinkOrder(link_id=asked.stream_id)


async def test_a_link_is_asked_for_by_the_parent_approved_by_the_student_and_revoked_by_either(world):
    for by, end in ((STUDENT, "student"), (PARENT, "parent")):
        order = await requested(world)
        await approve_link(world.write, world.asked_by(STUDENT), order)
        await revoke_link(world.write, world.asked_by(by), order)
        assert world.log.events(order.link_id)[-3:] == [
            LinkRequested(parent_id=PARENT, student_id=STUDENT, zone_id=ZONE),
            LinkApproved(),
            LinkRevoked(by=end),
        ]
    assert len(world.log.streams("parent_link")) == 1


async def test_asking_or_answering_twice_changes_nothing(world):
    order = await requested(world)
    assert await requested(world) == order
    for _ in range(2):
        await approve_link(world.write, world.asked_by(STUDENT), order)
    assert await requested(world) == order
    for _ in range(2):
        await revoke_link(world.write, world.asked_by(PARENT), order)
    assert len(world.log.events(order.link_id)) == 3
    await requested(world)
    for _ in range(2):
        await reject_link(world.write, world.asked_by(STUDENT), order)
    assert len(world.log.events(order.link_id)) == 5


@pytest.mark.parametrize("answer", [approve_link, reject_link])
@pytest.mark.parametrize("asker", [PARENT, OTHER_STUDENT])
async def test_nobody_but_the_student_answers(world, answer, asker):
    order = await requested(world)
    with pytest.raises(LinkNotFound):
        await answer(world.write, world.asked_by(asker), order)
    assert len(world.log.events(order.link_id)) == 1


async def test_others_can_neither_revoke_a_link_nor_learn_that_there_is_one(world):
    order = await requested(world)
    await approve_link(world.write, world.asked_by(STUDENT), order)
    with pytest.raises(LinkNotFound):
        await revoke_link(world.write, world.asked_by(OTHER_STUDENT), order)
    nowhere = LinkOrder(link_id=f"parent_link-{world.new_id()}")
    for answer in (approve_link, reject_link, revoke_link):
        with pytest.raises(LinkNotFound):
            await answer(world.write, world.asked_by(STUDENT), nowhere)


async def test_what_is_not_in_force_cannot_be_revoked_and_what_is_answered_not_answered_anew(world):
    order = await requested(world)
    with pytest.raises(LinkNotApproved):
        await revoke_link(world.write, world.asked_by(PARENT), order)
    await approve_link(world.write, world.asked_by(STUDENT), order)
    with pytest.raises(LinkNotPending):
        await reject_link(world.write, world.asked_by(STUDENT), order)
    await revoke_link(world.write, world.asked_by(STUDENT), order)
    with pytest.raises(LinkNotPending):
        await approve_link(world.write, world.asked_by(STUDENT), order)


async def test_nobody_is_linked_with_themselves_with_nobody_or_beyond_the_zone(world):
    with pytest.raises(OwnParent):
        await request_link(world.write, world.asked_by(PARENT), RequestLink(student_id=PARENT))
    elsewhere = world.given_user(f"user-{world.new_id()}", zone_id="kzone")
    gone = world.given_user(f"user-{world.new_id()}")
    world.record(gone, UserDeactivated(reason="left"))
    for student in (elsewhere, gone, f"user-{world.new_id()}"):
        with pytest.raises(UserNotFound):
            await request_link(world.write, world.asked_by(PARENT), RequestLink(student_id=student))
    assert world.log.streams("parent_link") == []


async def test_a_revocation_is_not_acknowledged_before_it_keeps_the_parent_out(world):
    class NotYet:
        async def wait(self, *_event):
            raise AccessNotApplied(retry_after_s=1)

    order = await requested(world)
    await approve_link(world.write, world.asked_by(STUDENT), order)
    object.__setattr__(world.write, "access_applied", NotYet())
    with pytest.raises(AccessNotApplied):
        await revoke_link(world.write, world.asked_by(STUDENT), order)
    # It is recorded all the same, and whoever asks again is made to wait again.
    assert world.log.events(order.link_id)[-1] == LinkRevoked(by="student")
    with pytest.raises(AccessNotApplied):
        await revoke_link(world.write, world.asked_by(STUDENT), order)


def test_a_request_expires_and_a_link_in_force_does_not():
    asked = Requested(ENDS)
    assert link.expire(asked) == [LinkExpired()]
    assert link.evolve(asked, LinkExpired()) == Over(ENDS, LinkExpired)
    for state in (Unrequested(), Approved(ENDS), Over(ENDS, LinkRejected)):
        assert link.expire(state) == []
        assert link.evolve(state, LinkExpired()) == state
