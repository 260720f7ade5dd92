import asyncio
import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from infra.http.errors import IdempotencyKeyReused, RequestInFlight
from infra.http.idempotency import Claim, Replay
from infra.http.idempotency_store import IdempotencyStore

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
WHO = "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
ROUTE = "POST /api/v1/exams"


def later(seconds):
    return NOW + timedelta(seconds=seconds)


def store_in(pool):
    numbers = itertools.count(1)
    return IdempotencyStore(pool, secret=b"s" * 32, new_id=lambda: f"command-{next(numbers)}")


def begin(store, now=NOW, *, who=WHO, route=ROUTE, key="key-1", contents=b"contents"):
    return store.begin(who, route, key, store.request_hash(contents), now)


ANSWER = (201, [("content-type", "application/json"), ("etag", '"1"')], b'{"exam_id":"\xed\x95\x9c"}')


def test_the_first_request_is_carried_out_and_the_second_gets_its_answer(with_pool):
    async def story(pool):
        store = store_in(pool)
        claim = await begin(store)
        assert claim == Claim(WHO, ROUTE, "key-1", "command-1", later(10))
        await store.complete(claim, *ANSWER)
        status, headers, body = ANSWER
        assert await begin(store, later(5)) == Replay(status, tuple(headers), body)

    with_pool(story)


def test_of_thirty_two_requests_at_once_one_is_carried_out_and_the_others_are_in_flight(with_pool):
    async def story(pool):
        store = store_in(pool)

        async def attempt():
            try:
                return type(await begin(store)).__name__
            except RequestInFlight as refused:
                return f"again in {refused.retry_after_s} s"

        outcomes = Counter(await asyncio.gather(*(attempt() for _ in range(32))))
        assert outcomes == {"Claim": 1, "again in 1 s": 31}

    with_pool(story)


def test_thirty_two_clients_that_keep_asking_cause_one_effect_and_all_get_its_answer(with_pool):
    async def story(pool):
        store = store_in(pool)
        effects = []

        async def client():
            while True:
                try:
                    begun = await begin(store)
                except RequestInFlight:
                    continue
                if isinstance(begun, Replay):
                    return begun.body
                effects.append(begun.command_id)
                await store.complete(begun, 201, [], begun.command_id.encode())

        answers = await asyncio.gather(*(client() for _ in range(32)))
        # The one that carried it out asks again too, so each of the 32 ends with the kept answer.
        assert len(effects) == 1
        assert set(answers) == {effects[0].encode()}

    with_pool(story)


@pytest.mark.parametrize("done", [True, False], ids=["answered", "in flight"])
def test_the_same_key_with_other_contents_is_refused(with_pool, done):
    async def story(pool):
        store = store_in(pool)
        claim = await begin(store)
        if done:
            await store.complete(claim, *ANSWER)
        with pytest.raises(IdempotencyKeyReused):
            await begin(store, contents=b"other contents")

    with_pool(story)


def test_a_key_belongs_to_one_principal_and_one_route(with_pool):
    async def story(pool):
        store = store_in(pool)
        claims = [
            await begin(store),
            await begin(store, who="user-somebody-else", contents=b"1"),
            await begin(store, route="POST /api/v1/exams/{exam_id}/attempts", contents=b"2"),
        ]
        assert len({claim.command_id for claim in claims}) == 3

    with_pool(story)


def test_a_crashed_holders_request_goes_to_the_next_one_under_the_same_command_id(with_pool):
    async def story(pool):
        store = store_in(pool)
        crashed = await begin(store)
        with pytest.raises(RequestInFlight):
            await begin(store, later(9.9))
        with pytest.raises(IdempotencyKeyReused):
            await begin(store, later(10), contents=b"other contents")
        second = await begin(store, later(10))
        assert second.command_id == crashed.command_id
        with pytest.raises(RequestInFlight):
            await begin(store, later(19.9))

    with_pool(story)


def test_an_abandoned_request_can_be_tried_again_at_once(with_pool):
    async def story(pool):
        store = store_in(pool)
        first = await begin(store)
        await store.abandon(first, later(1))
        second = await begin(store, later(1))
        assert second.command_id == first.command_id

    with_pool(story)


def test_an_overtaken_holder_cannot_give_away_its_successors_claim(with_pool):
    async def story(pool):
        store = store_in(pool)
        slow = await begin(store)
        await begin(store, later(10))
        await store.abandon(slow, later(11))
        with pytest.raises(RequestInFlight):
            await begin(store, later(12))

    with_pool(story)


def test_the_first_answer_stays_when_an_overtaken_holder_answers_too(with_pool):
    async def story(pool):
        store = store_in(pool)
        slow = await begin(store)
        quick = await begin(store, later(10))
        await store.complete(quick, 201, [], b"first")
        await store.complete(slow, 201, [], b"second")
        assert (await begin(store, later(11))).body == b"first"

    with_pool(story)


def test_after_a_day_the_key_is_free_for_a_new_command(with_pool):
    async def story(pool):
        store = store_in(pool)
        old = await begin(store)
        await store.complete(old, *ANSWER)
        assert isinstance(await begin(store, later(86_399)), Replay)
        new = await begin(store, later(86_400), contents=b"other contents")
        assert isinstance(new, Claim)
        assert new.command_id != old.command_id
        # The answer to the old command must not become that of the new one.
        await store.complete(old, *ANSWER)
        with pytest.raises(RequestInFlight):
            await begin(store, later(86_401), contents=b"other contents")

    with_pool(story)


def test_the_sweep_removes_what_is_over_and_nothing_else(with_pool):
    async def story(pool):
        store = store_in(pool)
        await store.complete(await begin(store), *ANSWER)
        await store.complete(await begin(store, later(60), key="key-2"), *ANSWER)
        assert await store.sweep(later(86_400)) == 1
        assert isinstance(await begin(store, later(86_401), key="key-2"), Replay)

    with_pool(story)


def test_contents_are_kept_only_as_a_keyed_hash(with_pool):
    async def story(pool):
        store = store_in(pool)
        other_server = IdempotencyStore(pool, secret=b"t" * 32, new_id=lambda: "command")
        assert store.request_hash(b"a", b"bc") == store.request_hash(b"a", b"bc")
        assert store.request_hash(b"a", b"bc") != store.request_hash(b"ab", b"c")
        assert store.request_hash(b"a", b"bc") != other_server.request_hash(b"a", b"bc")

    with_pool(story)
