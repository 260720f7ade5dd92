"""The examples in the docstrings of `domain.cat` run and give what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import domain.cat

MODULES = sorted(
    found.name for found in pkgutil.walk_packages(domain.cat.__path__, prefix=f"{domain.cat.__name__}.")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(name) -> None:
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, extraglobs={"np": np})
    assert outcome.failed == 0


def test_there_are_modules_with_examples() -> None:
    examples = [
        name
        for name in MODULES
        if any(test.examples for test in doctest.DocTestFinder().find(importlib.import_module(name)))
    ]
    assert "domain.cat.ability" in examples
