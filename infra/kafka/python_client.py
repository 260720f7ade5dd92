"""The Kafka port over kafka-python: this module and its neighbours `python_*` alone know that library.

Some of its inner parts are reached into, each held by a test: the checksum (see `checksums`); the sender
thread, which must stop at the first failure (see `PythonProducer`); and the setting that no topic is made by
asking for it, which the library takes and does not pass on.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as client_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from infra.kafka.checksums import use_fast_checksums
from infra.kafka.port import MAX_MESSAGE_BYTES
from infra.kafka.python_admin import PythonAdmin
from infra.kafka.python_consumer import PythonConsumer
from infra.kafka.python_errors import translated
from infra.kafka.python_producer import PythonProducer

CLOSING_TIMEOUT_S: Final = 5.0
FETCH_WAIT_MS: Final = 30
_MAKE_NO_TOPICS: Final = {"allow_auto_create_topics": False}


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long is waited for a Kafka that does not answer."""

    connect_s: float = 5.0
    request_s: float = 10.0
    delivery_s: float = 30.0
    """From `send` until a message is given up, with all attempts in between."""


@dataclass(frozen=True, kw_only=True)
class PythonKafka:
    """Makes clients of kafka-python: see `port.Kafka`.

    Args:
        bootstrap_servers: `host:port`, several separated by commas.
        security: more settings of kafka-python: `security_protocol`, `sasl_mechanism`, `ssl_cafile` ...
        compression: what batches are packed with; all clients can unpack both.
        batch_bytes: a batch that has grown so large is sent at once,
        linger_ms: a smaller one after so long, or when somebody waits for it.
        max_message_bytes: nothing larger is sent.
        fetch_wait_ms: how long the broker may keep a fetch that finds nothing. Apache Kafka answers as soon
            as something comes; Tansu looks again after half of it, and that is what a message waits for.
    """

    bootstrap_servers: str
    client_id: str = "megacity"
    security: Mapping[str, Any] = field(default_factory=dict)
    timeouts: Timeouts = Timeouts()
    compression: str | None = None
    batch_bytes: int = 1024 * 1024
    linger_ms: int = 20
    max_message_bytes: int = MAX_MESSAGE_BYTES
    fetch_wait_ms: int = FETCH_WAIT_MS

    @contextmanager
    def producer(self) -> Iterator[PythonProducer]:
        use_fast_checksums()
        with translated():
            client = KafkaProducer(**self.producer_settings())
            client._metadata.config.update(_MAKE_NO_TOPICS)  # noqa: SLF001 - see the top
        producer = PythonProducer(client)
        try:
            yield producer
        finally:
            producer.close()

    def producer_settings(self) -> dict[str, Any]:
        """What a producer of the library is told."""
        return {
            **self._common(),
            "metrics_enabled": False,
            "acks": "all",
            "enable_idempotence": True,
            **_MAKE_NO_TOPICS,
            "compression_type": self.compression,
            "batch_size": self.batch_bytes,
            "linger_ms": self.linger_ms,
            "max_request_size": self.max_message_bytes,
            "max_block_ms": int(self.timeouts.connect_s * 1000),
            "delivery_timeout_ms": int(self.timeouts.delivery_s * 1000),
        }

    @contextmanager
    def consumer(self, group: str | None = None) -> Iterator[PythonConsumer]:
        use_fast_checksums()
        with translated():
            client = KafkaConsumer(
                **self._common(),
                group_id=group,
                metrics_enabled=False,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                **_MAKE_NO_TOPICS,
                # Topics that come, or come back, are found this soon.
                metadata_max_age_ms=5_000,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                fetch_max_wait_ms=self.fetch_wait_ms,
                max_partition_fetch_bytes=self.max_message_bytes,
                # A member that died gives its partitions to others within seconds.
                session_timeout_ms=10_000,
                heartbeat_interval_ms=2_000,
            )
            client._cluster.config.update(_MAKE_NO_TOPICS)  # noqa: SLF001 - see the top
        try:
            yield PythonConsumer(client)
        finally:
            with contextlib.suppress(client_errors.KafkaError):
                client.close(autocommit=False, timeout_ms=CLOSING_TIMEOUT_S * 1000)

    @contextmanager
    def admin(self) -> Iterator[PythonAdmin]:
        with translated():
            client = KafkaAdminClient(**self._common())
        try:
            yield PythonAdmin(client)
        finally:
            with contextlib.suppress(client_errors.KafkaError):
                client.close()

    def _common(self) -> dict[str, Any]:
        # What fails is raised by us; the library would tell of every attempt as well.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        return {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "client_id": self.client_id,
            "bootstrap_timeout_ms": int(self.timeouts.connect_s * 1000),
            "request_timeout_ms": int(self.timeouts.request_s * 1000),
            "reconnect_backoff_max_ms": 1_000,
            **self.security,
        }
