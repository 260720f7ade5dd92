"""What goes wrong in kafka-python, in the words of the port."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as client_errors

from infra.kafka.port import KafkaUnreachable, MessageTooLarge, NotDelivered


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except client_errors.KafkaError as error:
        raise KafkaUnreachable(f"Kafka does not answer: {type(error).__name__}: {error}") from error
    except OSError as error:
        raise KafkaUnreachable(f"Kafka cannot be reached: {error}") from error


def not_delivered(error: BaseException) -> NotDelivered:
    if isinstance(error, client_errors.MessageSizeTooLargeError | client_errors.RecordListTooLargeError):
        return MessageTooLarge(f"the broker takes no message this large: {error}")
    return NotDelivered(f"a message was not acknowledged: {type(error).__name__}: {error}")
