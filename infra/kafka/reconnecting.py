"""One database connection that is opened when needed and replaced when it broke."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

Connection = psycopg.Connection[dict[str, Any]]


class Reconnecting:
    """For one thread. The connection is in autocommit mode: see what `connect` opens."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._open: Connection | None = None

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Raises the errors of psycopg; after one that broke the connection the next call opens another."""
        if self._open is None or self._open.broken or self._open.closed:
            self.close()
            self._open = self._connect()
        yield self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
