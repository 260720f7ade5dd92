from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from infra.postgres.roles import PROJECTOR, READER, role_conninfo
from tests.support.postgres import ROLE_SECRET

Connection = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def connect(database) -> Callable[[], Connection]:
    """Opens connections of the projector's role."""
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    return lambda: psycopg.connect(conninfo, row_factory=dict_row, autocommit=True)


@pytest.fixture
def projector(connect) -> Iterator[Connection]:
    with connect() as connection:
        yield connection


@pytest.fixture
def reader_conninfo(database) -> str:
    return role_conninfo(database, READER, ROLE_SECRET)
