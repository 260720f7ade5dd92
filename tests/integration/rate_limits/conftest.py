"""One Valkey server for the tests of this folder; a test that breaks one has its own."""

import pytest

from tests.support.stores import running_store


@pytest.fixture(scope="module")
def store_url():
    with running_store() as server:
        yield server.connection_url
