from collections.abc import Iterator

import pytest

from tests.support.brokers import Broker, RunningBrokers, running_brokers


@pytest.fixture(scope="session")
def brokers() -> Iterator[RunningBrokers]:
    with running_brokers() as running:
        yield running


@pytest.fixture
def broker(brokers: RunningBrokers, request: pytest.FixtureRequest) -> Broker:
    """The one that the test names by its parameter; running."""
    return brokers.get(request.param)
