"""Stored events as the rows of a Parquet file. Needs pyarrow (extra `export`)."""

from types import TracebackType
from typing import IO, Any, Final, Self

from infra.log_reading.stored import StoredAt

ROWS_IN_A_GROUP: Final = 50_000
BYTES_IN_A_GROUP: Final = 64 * 1024 * 1024
"""A row group stays in memory until it is written: when either of the two is reached."""


def schema() -> Any:
    """`meta` and `data` are the stored bytes; what was read out of the metadata is null where nobody can."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            pa.field("position", pa.int64(), nullable=False),
            pa.field("stream_id", text, nullable=False),
            pa.field("version", pa.int64(), nullable=False),
            pa.field("category", text, nullable=False),
            pa.field("type", text, nullable=False),
            pa.field("action", text),
            pa.field("recorded_at", pa.timestamp("us", tz="UTC")),
            pa.field("actor_kind", text),
            pa.field("actor_id", text),
            pa.field("zone_id", text),
            pa.field("org_id", text),
            pa.field("event_id", text),
            pa.field("correlation_id", text),
            pa.field("causation_id", text),
            pa.field("meta", pa.binary(), nullable=False),
            pa.field("data", pa.binary(), nullable=False),
            pa.field("leaf", pa.binary(32), nullable=False),
        ]
    )


class ParquetRows:
    """Writes row groups of bounded size; a context manager."""

    def __init__(self, file: IO[bytes]) -> None:
        import pyarrow.parquet as pq

        self._schema = schema()
        self._file = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self._write_group()
        self._file.close()

    def write(self, event: StoredAt) -> None:
        self._rows.append(_row(event))
        self._bytes += len(event.meta) + len(event.payload)
        if len(self._rows) >= ROWS_IN_A_GROUP or self._bytes >= BYTES_IN_A_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows, self._bytes = [], 0


def _row(event: StoredAt) -> dict[str, Any]:
    row: dict[str, Any] = {
        "position": event.position,
        "stream_id": event.stream_id,
        "version": event.version,
        "category": event.category,
        "type": event.type,
        "action": event.action,
        "meta": event.meta,
        "data": event.payload,
        "leaf": event.leaf,
    }
    if (metadata := event.metadata) is not None:
        row |= {
            "recorded_at": metadata.recorded_at,
            "actor_kind": metadata.actor.kind,
            "actor_id": metadata.actor.id,
            "zone_id": metadata.zone_id,
            "org_id": metadata.org_id,
            "event_id": metadata.event_id,
            "correlation_id": metadata.correlation_id,
            "causation_id": metadata.causation_id,
        }
    return row
