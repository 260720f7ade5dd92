"""Long forms: hours where `make test` takes seconds. MEGACITY_SOAK_SCALE makes them longer or shorter."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from infra.postgres.roles import PROJECTOR, role_conninfo
from tests.support.brokers import Broker, RunningBrokers, running_brokers
from tests.support.postgres import ROLE_SECRET

SCALE = float(os.environ.get("MEGACITY_SOAK_SCALE", "1"))
_TIME_LIMIT_S = 6 * 3600


@pytest.fixture(scope="session")
def scaled() -> Callable[[int], int]:
    """So many rounds, by the scale; at least one."""
    return lambda count: max(1, round(count * SCALE))


@pytest.fixture
def connect(database: str) -> Callable[[], psycopg.Connection[dict[str, Any]]]:
    """Opens connections of the projector's role."""
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    return lambda: psycopg.connect(conninfo, row_factory=dict_row, autocommit=True)


@pytest.fixture(scope="session")
def brokers() -> Iterator[RunningBrokers]:
    with running_brokers() as running:
        yield running


@pytest.fixture
def broker(brokers: RunningBrokers, request: pytest.FixtureRequest) -> Broker:
    """The one that the test names by its parameter; running."""
    return brokers.get(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "soak":
            item.add_marker(pytest.mark.timeout(_TIME_LIMIT_S))
