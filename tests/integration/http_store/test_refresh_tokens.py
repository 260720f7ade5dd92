import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from infra.auth.refresh import RefreshTokens
from infra.http.errors import RefreshRefused

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
USER = "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
SECRET = b"s" * 32


def later(seconds):
    return NOW + timedelta(seconds=seconds)


def tokens_in(pool, **rules):
    return RefreshTokens(pool, secret=SECRET, **rules)


async def refusal(tokens, token, now):
    with pytest.raises(RefreshRefused) as refused:
        await tokens.rotate(token, now)
    return refused.value.reason


def test_a_token_is_exchanged_for_its_successor_and_so_on(with_pool):
    async def story(pool):
        tokens = tokens_in(pool)
        first = await tokens.start(USER, "session-1", NOW)
        second = await tokens.rotate(first.token, later(600))
        third = await tokens.rotate(second.token, later(1200))
        assert len({first.token, second.token, third.token}) == 3
        assert (third.session_id, third.subject_id) == ("session-1", USER)
        assert third.expires_at == first.expires_at == NOW + timedelta(days=30)

    with_pool(story)


def test_a_client_whose_answer_was_lost_gets_the_same_successor_again(with_pool):
    async def story(pool):
        tokens = tokens_in(pool)
        first = await tokens.start(USER, "session-1", NOW)
        second = await tokens.rotate(first.token, later(600))
        assert await tokens.rotate(first.token, later(630)) == second
        # ... by another process too, which shares nothing but the secret and the database.
        assert await tokens_in(pool).rotate(first.token, later(630)) == second

    with_pool(story)


def test_thirty_two_refreshes_at_once_all_get_the_same_successor(with_pool):
    async def story(pool):
        tokens = tokens_in(pool)
        first = await tokens.start(USER, "session-1", NOW)
        grants = await asyncio.gather(*(tokens.rotate(first.token, later(1)) for _ in range(32)))
        assert {grant.token for grant in grants} == {tokens.successor_of(first.token)}
        async with pool.connection() as connection:
            counted = await connection.execute("SELECT count(*), max(generation) FROM ops.refresh_tokens")
            assert await counted.fetchone() == (2, 1)

    with_pool(story)


def test_a_parent_shown_after_the_grace_ends_the_whole_family(with_pool):
    async def story(pool):
        tokens = tokens_in(pool)
        first = await tokens.start(USER, "session-1", NOW)
        second = await tokens.rotate(first.token, later(600))
        assert "used before" in await refusal(tokens, first.token, later(631))
        assert await refusal(tokens, second.token, later(632)) == "revoked"

    with_pool(story)


def test_a_parent_whose_successor_was_used_ends_the_whole_family_even_within_the_grace(with_pool):
    async def story(pool):
        tokens = tokens_in(pool)
        first = await tokens.start(USER, "session-1", NOW)
        second = await tokens.rotate(first.token, later(1))
        third = await tokens.rotate(second.token, later(2))
        assert "used before" in await refusal(tokens, first.token, later(3))
        assert await refusal(tokens, third.token, later(4)) == "revoked"

    with_pool(story)


def test_the_end_of_one_family_leaves_the_persons_other_sign_ins_alone(with_pool):
    async def story(pool):
        tokens = tokens_in(pool)
        here = await tokens.start(USER, "session-1", NOW)
        there = await tokens.start(USER, "session-2", NOW)
        assert await tokens.revoke("session-1", later(1))
        assert not await tokens.revoke("session-1", later(2))
        assert await refusal(tokens, here.token, later(3)) == "revoked"
        await tokens.rotate(there.token, later(3))

    with_pool(story)


def test_every_sign_in_of_a_person_can_be_ended_at_once(with_pool):
    async def story(pool):
        tokens = tokens_in(pool)
        grants = [await tokens.start(USER, f"session-{number}", NOW) for number in range(3)]
        assert await tokens.revoke_all(USER, later(1), reason="password changed") == 3
        assert {await refusal(tokens, grant.token, later(2)) for grant in grants} == {"revoked"}

    with_pool(story)


def test_rotation_does_not_prolong_the_thirty_days(with_pool):
    async def story(pool):
        tokens = tokens_in(pool)
        first = await tokens.start(USER, "session-1", NOW)
        second = await tokens.rotate(first.token, NOW + timedelta(days=29))
        assert await refusal(tokens, second.token, NOW + timedelta(days=30)) == "expired"

    with_pool(story)


@pytest.mark.parametrize("token", ["", "made-up", "nul\x00", "\ud800", "x" * 100_000])
def test_what_was_never_given_out_is_unknown(with_pool, token):
    async def story(pool):
        assert await refusal(tokens_in(pool), token, NOW) == "unknown"

    with_pool(story)


def test_the_database_holds_no_token_that_could_be_used(with_pool):
    async def story(pool):
        tokens = tokens_in(pool)
        first = await tokens.start(USER, "session-1", NOW)
        second = await tokens.rotate(first.token, later(1))
        async with pool.connection() as connection:
            rows = await (
                await connection.execute(
                    "SELECT row_to_json(t)::text || row_to_json(f)::text"
                    " FROM ops.refresh_tokens t JOIN ops.refresh_families f USING (session_id)"
                )
            ).fetchall()
        assert len(rows) == 2
        stored = "".join(row[0] for row in rows)
        for token in (first.token, second.token):
            assert token not in stored
            assert token.encode().hex() not in stored

    with_pool(story)


def test_families_are_swept_when_their_time_is_over(with_pool):
    async def story(pool):
        tokens = tokens_in(pool)
        old = await tokens.start(USER, "session-1", NOW)
        await tokens.start(USER, "session-2", NOW + timedelta(days=1))
        assert await tokens.sweep(NOW + timedelta(days=30)) == 1
        assert await refusal(tokens, old.token, NOW + timedelta(days=30)) == "unknown"

    with_pool(story)
