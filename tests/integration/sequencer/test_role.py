"""The role `sequencer`: what `megacity serve sequencer` runs beside its HTTP server."""

import asyncio

import pytest

from infra.application import build_app
from infra.composition import new_id, role_lifespan
from infra.database import Database
from infra.observability.metrics import new_registry
from infra.settings import Settings
from tests.support.api import eventually
from tests.support.postgres import ROLE_SECRET
from tests.support.sequencing import order, put, writer


@pytest.mark.parametrize("role", ["sequencer", "all"])
async def test_the_role_gives_events_their_positions_and_counts_them(database, tmp_path, role):
    settings = Settings(var_dir=tmp_path)
    registry = new_registry()
    of = Database(admin_conninfo=database, role_secret=ROLE_SECRET)
    lifespan = role_lifespan(settings, of, registry, role)
    async with lifespan(build_app(settings, registry, lifespan, role)):
        with writer(database) as connection:
            put(connection, f"test-{new_id()}", 1, 2)
        await asyncio.to_thread(eventually, lambda: len(order(database)) == 2)
        await asyncio.to_thread(
            eventually, lambda: registry.get_sample_value("megacity_sequencer_events_total") == 2
        )
        assert registry.get_sample_value("megacity_sequencer_leads") == 1
        assert registry.get_sample_value("megacity_sequencer_position") == 2
