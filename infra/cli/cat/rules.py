"""The rules of choice, by their names on the command line."""

from typing import Final

import numpy as np

from domain.cat.category_model import CategoryModel
from domain.cat.choice import Choice, Rule, Standing
from domain.cat.exposure import Progressive, Proportional, Randomesque
from domain.cat.items import Items, LogisticItems
from domain.cat.lockstep import Ruling, by_rule
from domain.cat.selection import (
    AStratified,
    KullbackLeibler,
    MaximumExpectedInformation,
    MaximumInformation,
    PosteriorWeightedInformation,
)
from infra.cli.cat.options import Select
from infra.cli.console import CommandError

STRATA: Final = 4


def ruling(select: Select, items: CategoryModel, length: int, seed: int, examinees: int) -> Ruling | None:
    """None for maximum information, which a bank has by itself and chooses for all at once.

    `length`: the longest test, over which the rules with a plan spread it. Raises CommandError.
    """
    if select == "mfi":
        return None
    # Chance of its own: the people drawn from the seed stay the same, whatever the rule.
    generators = np.random.default_rng([seed, 1]).spawn(examinees)
    return by_rule(_rule(select, items, length), items, generators)


def _rule(select: Select, items: CategoryModel, length: int) -> Rule:
    if select == "a-stratified":
        return _stratified(items, length)
    rules: dict[Select, Rule] = {
        "mfi": MaximumInformation(),
        "mei": MaximumExpectedInformation(),
        "pwi": PosteriorWeightedInformation(),
        "kl": KullbackLeibler(),
        "randomesque": Randomesque(MaximumInformation()),
        "progressive": Progressive(MaximumInformation(), length),
        "proportional": Proportional(MaximumInformation(), length),
    }
    return rules[select]


def _stratified(items: CategoryModel, length: int) -> Rule:
    if not isinstance(items, LogisticItems):
        raise CommandError("--select a-stratified needs items that are right or wrong.")
    if len(items) < STRATA:
        raise CommandError(f"--select a-stratified needs {STRATA} items at least.")
    rule = AStratified.of(items, STRATA, length)

    def choose(bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        del bank  # the same items, whose slopes this rule needs to see
        return rule(items, standing, rng)

    return choose
