"""Fault 13 for the consumers: a group whose members come, go and die, on brokers that forget everything."""

import random

import pytest

from tests.support.api import eventually
from tests.support.brokers import BROKERS, Broker
from tests.support.consuming import ALL_PARTITIONS, Place, has, writing
from tests.support.witness import assert_each_took_effect_once_and_in_order, witnessed

WITHIN_S = 180


@pytest.mark.parametrize("broker", BROKERS, indirect=True)
def test_a_group_that_is_never_left_in_peace_applies_everything_once(database: str, broker: Broker, scaled):
    place, chance = Place(database, broker), random.Random()
    with place.relaying(), place.consuming() as stays:
        with writing(place):
            for _ in range(scaled(20)):
                eventually(lambda: has(stays, ALL_PARTITIONS), within_s=WITHIN_S)
                with place.consuming_in_another_process() as dies, place.consuming():
                    before = witnessed(database) + chance.randrange(200)
                    eventually(lambda: witnessed(database) > before, within_s=WITHIN_S)  # noqa: B023 - asked at once
                    dies.kill()
                    if chance.random() < 0.3:
                        broker.kill()
                        broker.lose_data()
                        broker.start()
            eventually(lambda: has(stays, ALL_PARTITIONS), within_s=WITHIN_S)
        last = place.writer.write(1)
        eventually(lambda: place.checkpoint() == last, within_s=WITHIN_S)
    assert_each_took_effect_once_and_in_order(database)
