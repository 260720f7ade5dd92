"""Zones against a model that fits on a page: who is on, who stands for what, and since when.

Hypothesis attests, turns on and off, counts and waits, in any order, through the commands of two processes
that share a log and nothing else; after each step anybody who registers is let in exactly where a zone is on.
"""

import asyncio
from datetime import datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from commands.register_user import RegisterUser, register_user
from commands.zones import (
    ActivateZone,
    AttestPrerequisite,
    DeactivateZone,
    activate_zone,
    attest_prerequisite,
    deactivate_zone,
    known_zone,
    open_first_zones,
)
from domain.errors import DomainError
from domain.zones.definitions import DEFINITIONS
from domain.zones.events import ZoneActivated
from domain.zones.zone import (
    PrerequisiteIsChecked,
    PrerequisiteNotFound,
    ZoneNotActive,
    ZoneNotReady,
    attestations_of,
)
from tests.support.memory import World

# One that is open from the start, one that asks about the first, one that asks for a word, one for nothing.
ZONES = ["univprep", "skillprep", "mpcstudy", "majorprep"]
PREREQUISITES = sorted({each.id for zone in ZONES for each in DEFINITIONS[zone].prerequisites})

processes = st.sampled_from([0, 1])
zones = st.sampled_from(ZONES)


class Counted:
    """As much of everything as the test says."""

    def __init__(self):
        self.everywhere = 0

    async def count(self, zone_id, measure):
        assert zone_id in DEFINITIONS
        assert measure != "days_active"
        await asyncio.sleep(0)
        return self.everywhere


class Zones(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.writing = [self.world.write, self.world.another_process()]
        self.counted = Counted()
        # The model.
        self.on: dict[str, datetime | None] = {"univprep": None}
        self.attested: dict[str, dict[str, str]] = {zone: {} for zone in ZONES}
        self.people = 0

    def teardown(self):
        self.runner.close()

    @initialize(process=processes, recorded=st.booleans())
    def begin(self, process, recorded):
        if recorded:
            for _ in range(2):
                self.run(open_first_zones(self.writing[process], self.world.asked_by("bootstrap")))
            self.touched("univprep")

    @rule(
        process=processes,
        zone=zones,
        prerequisite=st.sampled_from([*PREREQUISITES, "nothing-of-the-kind"]),
        evidence=st.sampled_from(["report 1", "report 2"]),
    )
    def attest(self, process, zone, prerequisite, evidence):
        known = DEFINITIONS[zone].prerequisite(prerequisite)
        expected = PrerequisiteNotFound if known is None else PrerequisiteIsChecked if known.check else None
        command = AttestPrerequisite(zone_id=zone, prerequisite=prerequisite, evidence=evidence)
        order = attest_prerequisite(self.writing[process], self.world.asked_by("operator"), command)
        assert self.refusal(order) is expected
        if expected is None:
            self.touched(zone)
            self.attested[zone][prerequisite] = evidence

    @rule(process=processes, zone=zones)
    def attest_everything(self, process, zone):
        for each in DEFINITIONS[zone].prerequisites:
            if each.kind == "attested":
                self.attest(process, zone, each.id, "report 1")

    @rule(process=processes, zone=zones)
    def turn_on(self, process, zone):
        missing = [] if zone in self.on else self.missing(zone)
        command = ActivateZone(zone_id=zone, reason="ready")
        order = activate_zone(self.writing[process], self.counted, self.world.asked_by("operator"), command)
        assert self.refusal(order) is (ZoneNotReady if missing else None)
        if not missing:
            self.touched(zone)
            self.on.setdefault(zone, self.world.clock())

    @rule(process=processes, zone=zones)
    def turn_off(self, process, zone):
        command = DeactivateZone(zone_id=zone, reason="errors")
        order = deactivate_zone(self.writing[process], self.world.asked_by("operator"), command)
        assert self.refusal(order) is None
        if zone in self.on:
            del self.on[zone]
            self.attested[zone] = {}

    @rule(there_are=st.sampled_from([0, 10, 49, 50, 499, 500, 1_000]))
    def count(self, there_are):
        self.counted.everywhere = there_are

    @rule(days=st.sampled_from([1, 44, 45, 90]))
    def let_pass(self, days):
        self.world.clock.advance(days=days)

    @rule(process=processes, zone=zones)
    def somebody_registers(self, process, zone):
        self.people += 1
        command = RegisterUser(
            email=f"person-{self.people}@example.org",
            password="a long enough password",
            display_name="민지",
            language="ko",
            zone_id=zone,
        )
        order = register_user(self.writing[process], self.world.asked_by("anonymous"), command)
        assert self.refusal(order) is (None if zone in self.on else ZoneNotActive)

    @invariant()
    def every_process_knows_the_zones_as_they_are(self):
        for write in self.writing:
            for zone in ZONES:
                known = self.run(known_zone(write, zone))
                assert known.is_active == (zone in self.on)
                assert {
                    each: attested.evidence for each, attested in attestations_of(known.state).items()
                } == self.attested[zone]

    @invariant()
    def whatever_was_turned_on_by_order_had_everything(self):
        for recorded in self.world.log.all:
            match recorded.event:
                case ZoneActivated(origin="order") as event:
                    assert all(each.is_met for each in event.checks)
                    zone = DEFINITIONS[recorded.metadata.zone_id]
                    told = {*event.attested, *(each.prerequisite for each in event.checks)}
                    assert told == {each.id for each in zone.prerequisites}
                case _:
                    pass

    # -- the model -------------------------------------------------------------------------------------------

    def touched(self, zone):
        """The first order that is carried out records since when a zone of the first hour is open."""
        if zone in self.on and self.on[zone] is None:
            self.on[zone] = self.world.clock()

    def missing(self, zone):
        missing = []
        for each in DEFINITIONS[zone].prerequisites:
            if each.check is None:
                fulfilled = each.id in self.attested[zone]
            elif each.check.measure == "days_active":
                since = self.on.get(each.check.of_zone)
                fulfilled = since is not None and (self.world.clock() - since).days >= each.check.at_least
            else:
                fulfilled = self.counted.everywhere >= each.check.at_least
            if not fulfilled:
                missing.append(each.id)
        return missing

    # -- the system ------------------------------------------------------------------------------------------

    def run(self, work):
        return self.runner.run(work)

    def refusal(self, order):
        try:
            self.run(order)
        except DomainError as refused:
            return type(refused)
        return None


TestZones = Zones.TestCase
TestZones.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
