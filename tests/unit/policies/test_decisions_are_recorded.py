"""The recorder: bounded, never in anybody's way, and nothing lost by a store that is away for a while."""

import asyncio
import time
from contextlib import asynccontextmanager

import msgspec
import pytest

from commands.context import CommandContext
from domain.errors import Unavailable
from domain.events import Actor
from domain.policies.access import AccessDecision
from domain.policies.decisions import AccessCounted, AccessDecided, read_request
from infra.observability.metrics import new_registry
from infra.policies.engine import PreparedSet
from infra.policies.founding import founding_set
from infra.policies.metrics import DecisionMetrics
from infra.policies.recorder import KINDS_COUNTED, DecisionRecorder
from tests.support.exam_parts import STUDENT, uuid7
from tests.support.memory import HandClock, MemoryLog
from tests.support.policies import a_request

FOUNDING = PreparedSet(founding_set())
CONTEXT = CommandContext(
    actor=Actor("user", STUDENT),
    zone_id="univprep",
    org_id=None,
    correlation_id=uuid7(0xC0),
    command_id=uuid7(0xC1),
)
PERMITTED = AccessDecision(
    allowed=True, reason="permitted", decided_by=(), audited=False, position=1, since=None, versions={}
)


class Recording:
    def __init__(self, log=None, **said):
        self.log = log or MemoryLog()
        self.clock = HandClock()
        self.registry = new_registry()
        ids = iter(range(0x5000, 0x9000))
        self.recorder = DecisionRecorder(
            self.log,
            DecisionMetrics.create(self.registry),
            clock=self.clock,
            new_id=lambda: uuid7(next(ids)),
            **said,
        )

    async def refused(self, number=1, feature="reports"):
        request = a_request(
            action="use_premium_feature",
            principal={"id": f"user-{uuid7(number)}", "subscription_status": "none"},
            resource={"kind": "feature", "id": feature},
        )
        decision = FOUNDING.decide(request)
        assert not decision.allowed
        return await self.recorder.note(request, decision, CONTEXT)

    async def refused_exam(self, number, *, exists, action="view_results"):
        exam_id = f"exam-{uuid7(number)}"
        request = a_request(action=action, resource={"kind": "exam", "id": exam_id, "zone": None})
        request = msgspec.structs.replace(request, versions={exam_id: 3} if exists else {})
        decision = msgspec.structs.replace(PERMITTED, allowed=False, reason="no_permit")
        return await self.recorder.note(request, decision, CONTEXT)

    async def permitted(self, **said):
        request = a_request(**said)
        return await self.recorder.note(request, FOUNDING.decide(request), CONTEXT)

    def counted(self, outcome):
        found = self.registry.get_sample_value("megacity_access_decision_records_total", {"outcome": outcome})
        return 0 if found is None else found

    @property
    def events(self):
        return [recorded.event for recorded in self.log.all]

    @asynccontextmanager
    async def following(self):
        task = asyncio.create_task(self.recorder.follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(reached):
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - what is waited for rings no bell
            await asyncio.sleep(0.005)


async def test_a_refusal_is_written_with_whoever_was_refused_and_why():
    recording = Recording()
    async with recording.following():
        decision_id = await recording.refused()
        await until(lambda: recording.events)
    [event] = recording.events
    assert isinstance(event, AccessDecided)
    assert (event.decision_id, event.reason, event.decided_by) == (
        decision_id,
        "forbidden",
        (founding_set().rules[1].policy_id,),
    )
    [recorded] = recording.log.all
    assert recorded.metadata.actor == CONTEXT.actor
    assert recorded.metadata.zone_id == "univprep"
    assert recorded.metadata.correlation_id == CONTEXT.correlation_id


async def test_what_came_together_is_one_append_to_a_stream_of_the_process_and_the_hour():
    recording = Recording()
    for number in range(3):
        await recording.refused(number)
    await recording.recorder.write()
    recording.clock.advance(minutes=5)
    await recording.refused(0)
    await recording.recorder.write()
    [stream] = recording.log.streams("observation")
    assert [each.version for each in recording.log.stream(stream)] == [1, 2, 3, 4]
    recording.clock.advance(hours=1)
    await recording.refused(0)
    await recording.recorder.write()
    assert len(recording.log.streams("observation")) == 2


async def test_ordinary_permits_are_counted_by_kind_and_name_nobody():
    recording = Recording()
    for number in range(5):
        assert await recording.permitted(principal={"id": f"user-{uuid7(number)}"}) is None
    await recording.permitted(principal={"roles": ["teacher"]})
    recording.clock.advance(minutes=2)
    await recording.recorder.write()
    [event] = recording.events
    assert isinstance(event, AccessCounted)
    assert sorted(each.count for each in event.permitted) == [1, 5]
    for each in event.permitted:
        request = read_request(each.request)
        assert (request.principal.id, request.resource.id) == ("", "")


async def test_kinds_beyond_the_bound_are_counted_together():
    recording = Recording()
    for number in range(KINDS_COUNTED + 7):
        await recording.permitted(principal={"age_years": number % 150, "roles": ROLES[number // 150]})
    recording.clock.advance(minutes=2)
    await recording.recorder.write()
    [event] = recording.events
    assert len(event.permitted) == KINDS_COUNTED
    assert event.others == 7


ROLES = [["student"], ["teacher"], ["tutor"], ["parent"], ["org_admin"]]


async def test_a_full_queue_drops_a_permit_at_once_and_a_refusal_after_a_moment_and_counts_both():
    recording = Recording(capacity=2)
    await recording.refused(1)
    await recording.refused(2)
    began = time.monotonic()
    request = a_request(principal={"roles": ["sys_admin"]}, resource={"id": "kzone", "zone": "kzone"})
    assert await recording.recorder.note(request, FOUNDING.decide(request), CONTEXT) is None
    assert time.monotonic() - began < 0.04
    assert await recording.refused(3) is None
    assert time.monotonic() - began < 1.0
    assert recording.counted("dropped") == 2
    await recording.recorder.write()
    assert recording.counted("written") == 2
    assert await recording.refused(3) is not None


async def test_a_refusal_waits_for_room_that_comes_in_time():
    recording = Recording(capacity=1)
    await recording.refused(1)
    waiting = asyncio.create_task(recording.refused(2))
    await asyncio.sleep(0)
    await recording.recorder.write()
    assert await waiting is not None
    assert recording.counted("dropped") == 0


async def test_what_a_store_could_not_take_is_written_once_when_it_can_again(monkeypatch):
    monkeypatch.setattr("infra.policies.recorder._TRIES_AGAIN_AFTER_S", 0.01)
    recording = Recording()
    recording.log.fail_before_the_next_append(Unavailable(retry_after_s=1))
    async with recording.following():
        await recording.refused(1)
        await until(lambda: recording.events)
        await recording.refused(2)
        await until(lambda: len(recording.events) == 2)
    assert recording.counted("written") == 2


async def test_a_stream_that_somebody_else_has_written_is_left_for_a_new_one():
    recording = Recording()
    await recording.refused(1)
    await recording.recorder.write()
    [stream] = recording.log.streams("observation")
    recording.log._streams[stream].append(recording.log.all[0])
    await recording.refused(2)
    await recording.recorder.write()
    assert len(recording.log.streams("observation")) == 2
    assert len(recording.events) == 2


async def test_what_waits_when_the_process_ends_is_written():
    recording = Recording()
    async with recording.following():
        await asyncio.sleep(0)
        await recording.refused(1)
        await recording.permitted()
    assert {type(each) for each in recording.events} == {AccessDecided, AccessCounted}


async def test_the_same_decision_within_a_minute_is_one_record():
    recording = Recording()
    first = await recording.refused(1)
    assert await recording.refused(1) == first
    assert recording.counted("repeated") == 1
    recording.clock.advance(minutes=1)
    assert await recording.refused(1) != first


@pytest.mark.parametrize("changes", [{"audited": True}, {"allowed": False, "reason": "no_permit"}])
async def test_what_is_special_about_a_decision_makes_a_record(changes):
    recording = Recording()
    decision = msgspec.structs.replace(PERMITTED, **changes)
    assert await recording.recorder.note(a_request(), decision, CONTEXT) is not None
    assert await recording.recorder.note(a_request(), PERMITTED, CONTEXT) is None


async def test_refusals_about_many_things_that_do_not_exist_are_one_record_a_minute():
    recording = Recording()
    found = {await recording.refused_exam(number, exists=False) for number in range(100)}
    assert len(found) == 1
    assert recording.counted("repeated") == 99
    assert await recording.refused_exam(0, exists=False, action="take_exam") not in found
    assert len({await recording.refused_exam(number, exists=True) for number in range(5)} - found) == 5
    recording.clock.advance(minutes=1)
    assert await recording.refused_exam(0, exists=False) not in found


async def test_one_person_has_a_tenth_of_the_queue_and_the_refusals_of_others_are_kept():
    recording = Recording(capacity=20)
    mine = [await recording.refused(1, f"feature-{number}") for number in range(50)]
    assert [each is not None for each in mine] == [True] * 2 + [False] * 48
    assert recording.counted("dropped") == 48
    assert None not in [await recording.refused(number) for number in range(2, 20)]
    await recording.recorder.write()
    assert len(recording.events) == 20
    assert await recording.refused(1, "feature-50") is not None
