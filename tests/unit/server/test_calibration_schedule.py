"""The loop that calibrates item banks now and then outlives whatever goes wrong."""

import asyncio
from types import SimpleNamespace

from commands.reactions.calibrations import BanksCalibrated
from domain.items.bank import ItemBankNotFound
from infra import server


async def test_the_schedule_goes_on_after_a_fault_and_after_a_refusal(monkeypatch):
    looks = []
    third = asyncio.Event()

    async def look(write, calibrations):
        looks.append((write, calibrations))
        if len(looks) == 1:
            raise ConnectionError
        if len(looks) == 3:
            third.set()
        return BanksCalibrated(("item_bank-1",), (("item_bank-2", ItemBankNotFound()),))

    monkeypatch.setattr(server, "calibrate_banks_with_news", look)
    monkeypatch.setattr(server, "FIRST_CALIBRATION_S", 0)
    services = SimpleNamespace(write="the write side", calibrations="the calibrations")
    loop = asyncio.create_task(server.keep_calibrating(services, 1e-6))
    try:
        await asyncio.wait_for(third.wait(), 10)
    finally:
        loop.cancel()
    assert looks[0] == ("the write side", "the calibrations")
