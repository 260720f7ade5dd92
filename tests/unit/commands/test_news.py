"""Who waits for a stream is woken when it grows, and by nothing else."""

import asyncio

import pytest

from commands.news import News

pytestmark = pytest.mark.anyio


async def test_a_listener_hears_what_is_told_of_its_stream_and_not_of_others():
    news = News()
    with news.listening("attempt-1") as heard:
        news.tell("attempt-2")
        assert not await heard.wait(0)
        news.tell("attempt-1")
        assert await heard.wait(0)
        assert not await heard.wait(0)


async def test_what_is_told_before_the_waiting_begins_is_not_missed():
    news = News()
    with news.listening("attempt-1") as heard:
        news.tell("attempt-1")
        news.tell("attempt-1")
        assert await heard.wait(0)
        assert not await heard.wait(0)


async def test_a_waiting_listener_is_woken_at_once():
    news = News()
    with news.listening("attempt-1") as heard:
        waiting = asyncio.create_task(heard.wait(30))
        await asyncio.sleep(0)
        news.tell("attempt-1")
        assert await waiting


async def test_ones_own_ring_can_be_discounted_and_that_of_others_is_still_heard():
    news = News()
    with news.listening("attempt-1") as heard:
        news.tell("attempt-1")
        heard.discount()
        assert not await heard.wait(0)
        news.tell("attempt-1")
        news.tell("attempt-1")
        heard.discount()
        assert await heard.wait(0)


async def test_discounting_what_was_never_heard_takes_nothing_from_what_comes():
    news = News()
    with news.listening("attempt-1") as heard:
        heard.discount()
        news.tell("attempt-1")
        assert await heard.wait(0)


async def test_nobody_listens_once_the_block_is_left():
    news = News()
    with news.listening("attempt-1"), news.listening("attempt-1"):
        pass
    assert not news._listeners


async def test_closing_ends_the_waiting_of_those_who_wait_and_of_those_who_come():
    news = News()
    with news.listening("attempt-1") as heard:
        waiting = asyncio.create_task(heard.wait(30))
        await asyncio.sleep(0)
        news.close()
        assert not await waiting
        heard.discount()
        assert not await heard.wait(30)
        news.tell("attempt-1")
        assert not await heard.wait(30)
    with news.listening("attempt-2") as late:
        assert late.closed
        assert not await late.wait(30)
