"""`python -m tests.support.relay_process CONNINFO BOOTSTRAP PREFIX`: a relay to be killed."""

import signal
import sys

from infra.kafka.publishing import Layout, Pace
from infra.kafka.python_client import PythonKafka
from infra.kafka.relay import Relay
from infra.observability.metrics import new_registry
from infra.observability.relay_metrics import RelayMetrics

if __name__ == "__main__":
    conninfo, servers, prefix = sys.argv[1:]
    Relay(
        conninfo,
        PythonKafka(bootstrap_servers=servers),
        metrics=RelayMetrics.create(new_registry()),
        layout=Layout(prefix=prefix, partitions=3),
        pace=Pace(page_events=50),
    ).start()
    signal.pause()
