"""`megacity serve relay`."""

import httpx
import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from tests.support.api import eventually, running_api
from tests.support.brokers import Broker, fresh_prefix, kafka_of
from tests.support.relayed import PARTITIONS, Writer, assert_all_of_the_log_is_there


@pytest.mark.parametrize("broker", ["tansu"], indirect=True)
def test_the_role_relays_and_tells_how_far_it_is(broker: Broker, database: str, tmp_path):
    prefix = fresh_prefix()
    last = Writer(database).write(100)
    kafka = {
        "bootstrap_servers": broker.bootstrap_servers,
        "topic_prefix": prefix,
        "partitions": PARTITIONS,
    }

    with running_api(database, tmp_path, role="relay", kafka=kafka) as relay:

        def told() -> bool:
            return f"megacity_relay_position {float(last)}" in httpx.get(f"{relay.base_url}/metrics").text

        eventually(told, within_s=30)

    assert_all_of_the_log_is_there(database, kafka_of(broker), prefix)


def test_without_a_kafka_the_role_says_what_to_set(monkeypatch):
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)

    refused = CliRunner().invoke(app, ["serve", "relay"])

    assert refused.exit_code == 2
    assert "KAFKA_BOOTSTRAP_SERVERS" in refused.stderr
