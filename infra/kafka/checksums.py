"""CRC-32C at the speed of the processor for kafka-python.

The library computes the checksum of every batch in plain Python, about 200 µs a KiB, which is most of all
that it does; the one faster implementation that it looks for has a licence that this project does not ship.
"""

from collections.abc import Callable

import google_crc32c


def crc32c(data: bytes | bytearray | memoryview) -> int:
    checksum: int = google_crc32c.value(bytes(data))
    return checksum


def use_fast_checksums() -> None:
    """Puts `crc32c` where kafka-python keeps its own. Calling it again changes nothing."""
    from kafka.record import default_records

    replaced: Callable[..., int] = crc32c
    default_records.calc_crc32c = replaced
