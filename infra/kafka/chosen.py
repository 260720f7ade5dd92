"""The Kafka that the settings name, and the topics of the log in it."""

from typing import Any

from infra.kafka.port import MAX_MESSAGE_BYTES, Kafka, KafkaNotNamed
from infra.kafka.publishing import Layout
from infra.settings import Settings


def kafka_clients(settings: Settings) -> Kafka:
    """Clients of the Kafka that the settings name. Raises `KafkaNotNamed`."""
    from infra.kafka.python_client import PythonKafka

    given = settings.kafka
    if given.bootstrap_servers is None:
        raise KafkaNotNamed
    security: dict[str, Any] = {"security_protocol": given.security_protocol}
    if given.ca_file is not None:
        security["ssl_cafile"] = str(given.ca_file)
    if given.sasl_mechanism is not None:
        security["sasl_mechanism"] = given.sasl_mechanism
        security["sasl_plain_username"] = given.username
        security["sasl_plain_password"] = given.password.get_secret_value() if given.password else None
    return PythonKafka(
        bootstrap_servers=given.bootstrap_servers,
        security=security,
        compression=None if given.compression == "none" else given.compression,
        fetch_wait_ms=given.fetch_wait_ms,
    )


def kafka_layout(settings: Settings) -> Layout:
    """The topics of the log, for whoever fills or follows them."""
    given = settings.kafka
    keeps_ms = -1 if given.retention_days is None else given.retention_days * 24 * 3600 * 1000
    return Layout(
        prefix=given.topic_prefix,
        partitions=given.partitions,
        replication_factor=given.replication_factor or -1,
        config={"retention.ms": str(keeps_ms), "max.message.bytes": str(MAX_MESSAGE_BYTES)},
    )
