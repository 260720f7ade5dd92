"""A hundred thousand looks at random worlds: nobody sees more than the model says, and nobody less."""

from random import Random

from tests.support.worlds import a_world, disagreements, fill

LOOKS = 100_000


def test_none_of_a_hundred_thousand_looks_finds_more_or_less_than_the_model(database, scaled):
    looks, seed = 0, 0
    while looks < scaled(LOOKS):
        world = a_world(Random(seed))
        fill(database, world.story)
        found, more = disagreements(database, world)
        assert found == [], f"in world {seed}"
        looks, seed = looks + more, seed + 1
