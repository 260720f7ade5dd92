"""The producer of the port over kafka-python."""

import contextlib
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from kafka import errors as client_errors

from infra.kafka.port import (
    Headers,
    KafkaUnreachable,
    MessagesLost,
    MessageTooLarge,
    Offsets,
    TopicPartition,
)
from infra.kafka.python_errors import not_delivered

_CLOSING_TIMEOUT_S: Final = 5.0


class PythonProducer:
    """Stops at the first failure.

    Left alone, the library gives one batch up and goes on with the next of the same partition: a later event
    would stand before an earlier one. So the first failed message ends its sender thread, which is the thread
    that tells of the failure, before it looks for more to send.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._sent: list[Any] = []
        self._failure: BaseException | None = None

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        if self._failure is not None:
            raise not_delivered(self._failure)
        try:
            future = self._client.send(topic, value, key, list(headers), partition)
        except client_errors.MessageSizeTooLargeError as error:
            raise MessageTooLarge(f"a message for {topic} is too large: {error}") from error
        except client_errors.IllegalStateError as error:
            raise not_delivered(error) from error
        except (client_errors.KafkaError, ValueError) as error:
            # A partition or topic that is not there is told as ValueError or as a timeout.
            raise KafkaUnreachable(f"{topic} cannot be written to: {error}") from error
        future.add_errback(self._stop_at)
        self._sent.append(future)

    def delivery(self) -> "PythonDelivery":
        sent, self._sent = self._sent, []
        return PythonDelivery(self._client, sent)

    def flush(self, timeout_s: float) -> None:
        self.delivery().wait(timeout_s)

    def close(self) -> None:
        """Sends nothing that is not acknowledged yet: whoever wanted that has waited for it."""
        sender = self._client._sender  # noqa: SLF001 - see the class
        sender.force_close()
        sender.join(_CLOSING_TIMEOUT_S)
        with contextlib.suppress(client_errors.KafkaError):
            self._client.close(timeout=0)

    def _stop_at(self, failure: BaseException) -> None:
        if self._failure is None:
            self._failure = failure
            self._client._sender.force_close()  # noqa: SLF001 - `close(0)` would wait for itself


class PythonDelivery:
    def __init__(self, client: Any, sent: list[Any]) -> None:
        self._client = client
        self._sent = sent

    def wait(self, timeout_s: float) -> Mapping[TopicPartition, Offsets]:
        gives_up_at = monotonic() + timeout_s
        # Sends at once what would linger. Whether it succeeded is asked of each message.
        with contextlib.suppress(client_errors.KafkaError):
            self._client.flush(timeout_s)
        found: dict[TopicPartition, Offsets] = {}
        for future in self._sent:
            if not future.is_done:
                self._wait_for(future, max(0.0, gives_up_at - monotonic()))
            if future.exception is not None:
                raise not_delivered(future.exception) from future.exception
            metadata = future.value
            at, offset = TopicPartition(metadata.topic, metadata.partition), metadata.offset
            before = found.get(at)
            if before is None:
                found[at] = Offsets(offset, offset)
            elif offset > before.last:
                found[at] = Offsets(before.first, offset)
            elif offset >= 0:
                raise MessagesLost(f"{at} gave offset {offset} after {before.last}")
        return found

    @staticmethod
    def _wait_for(future: Any, timeout_s: float) -> None:
        try:
            future.get(timeout_s)
        except client_errors.KafkaTimeoutError as error:
            if not future.is_done:
                raise KafkaUnreachable(f"Kafka has not acknowledged within {timeout_s:g} s") from error
        except client_errors.KafkaError as error:
            raise not_delivered(error) from error
