"""What runs beside the HTTP server ends when the server does."""

import asyncio

from infra.server import Background


async def test_a_loop_that_loses_its_cancellation_is_cancelled_again():
    ended = asyncio.Event()
    waits = asyncio.Event()

    async def stubborn():
        # As `asyncio.wait_for` does before Python 3.12, when what it waits for is done at that moment.
        try:
            waits.set()
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with Background(loops=[stubborn]).running():
        await waits.wait()
    assert ended.is_set()
