"""With Redis a revocation bites in every process at once; without it, a quarter of a second later."""

import asyncio

import pytest
from redis.asyncio import Redis

from infra.auth import revocation_news, revocations
from infra.auth.revocation_news import CHANNEL, RevocationNews
from infra.rate_limits.embedded import EmbeddedStore
from tests.support.api import PASSWORD, eventually, refusal, running_api
from tests.support.postgres import fresh_database, run_folder

LIMIT_S = 20


@pytest.fixture
def store(tmp_path):
    made = EmbeddedStore(tmp_path / "valkey.log")
    made.start()
    yield made
    made.stop()


def test_who_signs_out_everywhere_is_refused_by_another_process_that_only_redis_tells(
    postgres_server, store, monkeypatch
):
    # Nobody looks by itself while this test runs.
    monkeypatch.setattr(revocations, "POLL_INTERVAL_S", 3_600)
    shared = {"redis": {"url": store.url}}
    with (
        run_folder("news") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, **shared) as here,
        running_api(conninfo, folder, role="write-api", **shared) as there,
    ):
        person = here.person()
        credentials = {"email": person.email, "password": PASSWORD}
        token = here.client().post("/auth/login", json=credentials).json()["access_token"]
        assert there.client(token).get("/auth/sessions").status_code == 200
        assert here.client(token).delete("/auth/sessions").status_code == 204
        eventually(lambda: there.client(token).get("/auth/sessions").status_code == 401)
        assert refusal(there.client(token).get("/auth/sessions")) == (401, "invalid-token")


class Looks:
    def __init__(self):
        self._counted = asyncio.Condition()
        self.count = 0

    async def __call__(self):
        async with self._counted:
            self.count += 1
            self._counted.notify_all()

    async def reach(self, count):
        async with asyncio.timeout(LIMIT_S), self._counted:
            await self._counted.wait_for(lambda: self.count >= count)


async def listeners(client, count):
    async with asyncio.timeout(LIMIT_S):
        while (await client.pubsub_numsub(CHANNEL))[0][1] < count:  # noqa: ASYNC110 - in another program
            await asyncio.sleep(0.01)


async def test_each_process_looks_when_one_rings_and_again_after_redis_was_away(store, monkeypatch):
    monkeypatch.setattr(revocation_news, "AGAIN_AFTER_S", 0.05)
    here, there = RevocationNews(store.url), RevocationNews(store.url)
    looked, looked_there = Looks(), Looks()
    following = [asyncio.create_task(here.follow(looked)), asyncio.create_task(there.follow(looked_there))]
    async with Redis.from_url(store.url) as client:
        await listeners(client, 2)
        here.ring()
        await looked.reach(1)
        await looked_there.reach(1)
        store.stop()
        here.ring()  # lost, or told later
        store.start()
    async with Redis.from_url(store.url) as client:
        await listeners(client, 2)
    before = looked.count
    there.ring()
    await looked.reach(before + 1)
    for each in following:
        each.cancel()
    await asyncio.wait(following)
    assert all(each.cancelled() for each in following)


async def test_a_database_that_is_away_does_not_end_the_listening(store):
    news, looks = RevocationNews(store.url), Looks()
    failures = [ConnectionRefusedError("away")]

    async def look():
        if failures:
            raise failures.pop()
        await looks()

    following = asyncio.create_task(news.follow(look))
    async with Redis.from_url(store.url) as client:
        await listeners(client, 1)
        async with asyncio.timeout(LIMIT_S):
            while failures:
                news.ring()
                await asyncio.sleep(0.01)
        news.ring()
        await looks.reach(1)
    following.cancel()
    await asyncio.wait([following])
