"""Long forms: hours where `make test` takes seconds. MEGACITY_SOAK_SCALE makes them longer or shorter."""

import os
from collections.abc import Callable

import pytest

SCALE = float(os.environ.get("MEGACITY_SOAK_SCALE", "1"))
_TIME_LIMIT_S = 6 * 3600


@pytest.fixture(scope="session")
def scaled() -> Callable[[int], int]:
    """So many rounds, by the scale; at least one."""
    return lambda count: max(1, round(count * SCALE))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "soak":
            item.add_marker(pytest.mark.timeout(_TIME_LIMIT_S))
