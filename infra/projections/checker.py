"""The checker: folds samples of streams anew and compares them with the rows that readers see.

One snapshot shows the rows, the checkpoint that they are said to be of, and the log: so there is no false
alarm, however much is going on. The rows are made in a scratch schema and rolled back. The bytes of each
event that is read are hashed again, too.

A full comparison is `infra.projections.rebuild.verify`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import msgspec
import structlog
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from domain.errors import DomainError
from domain.events import FutureSchemaVersion, PositionedEvent, UnknownEventType
from domain.identifiers import StreamId, category_of
from infra.event_store.codec import EventCodec
from infra.event_store.leaves import leaf_hash
from infra.observability.checker_metrics import CheckerMetrics
from infra.projections.ahead import are_ahead
from infra.projections.as_of import left_out_of
from infra.projections.certificate import key_of
from infra.projections.checkpoints import Connection, read_checkpoint
from infra.projections.filling import BATCH_SIZE
from infra.projections.footprints import ALSO_READ, FOOTPRINTS, Footprint, NotComparable
from infra.projections.poison import is_poison
from infra.projections.scratch import create_scratch, shape_of, writing_to
from projections.projection import LIVE_SCHEMA, Projection

MOST_RELATED_STREAMS: Final = 500
"""An exam with more attempts than this is left to `verify`."""
STATEMENT_LIMIT_S: Final = 30
LOCK_LIMIT_S = 2.0
LOG_TABLE: Final = "log.events"

_POSITIONS_FOR_A_STREAM: Final = 40
_ALL_OF_A_SMALL_TABLE: Final = 20_000

log = structlog.get_logger("checker")


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as the log has it.

    Attributes:
        projection: whose rows are wrong.
        checkpoint: the position that the rows are said to be of.
        position: of the stream's last event before it; of the event itself where its bytes are damaged.
        stream_id: of the stream that was folded.
        table, key, column: where; no column where a whole row is missing, or should not be there.
        fault: what is the matter.
    """

    projection: str
    checkpoint: int
    position: int
    stream_id: StreamId
    table: str
    key: Mapping[str, Any]
    column: str | None
    fault: str


@dataclass
class Report:
    """`not_comparable` says why nothing, or not everything, could be judged."""

    projection: str
    position: int = 0
    streams: int = 0
    events: int = 0
    differences: list[Difference] = field(default_factory=list)
    not_comparable: list[str] = field(default_factory=list)


class Checker:
    """Checks some streams of a projection at a time; each time over a connection of its own.

    Args:
        connect: opens a connection of the projector's role, with rows as dictionaries.
        codec: reads the log.
        projections: those to be checked by `check_next`, in turns.
        random: chooses the sample.
        metrics: where to count.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        codec: EventCodec,
        projections: Sequence[Projection],
        *,
        random: Random,
        metrics: CheckerMetrics | None = None,
    ) -> None:
        self._connect = connect
        self._codec = codec
        self._turns = [each for each in projections if each.name in FOOTPRINTS]
        self._random = random
        self._metrics = metrics

    def check_next(self, sample: int) -> Report:
        """A sample of the projection whose turn it is."""
        self._turns.append(self._turns.pop(0))
        return self.check(self._turns[-1], sample)

    def check(self, projection: Projection, sample: int) -> Report:
        """Checks about so many streams, chosen by chance; fewer where there are no more.

        What is found is logged, counted and stored in `ops.checker_differences`.
        """
        return self._checked(
            projection, lambda connection, position: self._sampled(connection, projection, position, sample)
        )

    def check_streams(self, projection: Projection, streams: Sequence[StreamId]) -> Report:
        """Checks these streams."""
        return self._checked(projection, lambda _connection, _position: streams)

    def _checked(
        self, projection: Projection, choose: Callable[[Connection, int], Sequence[StreamId]]
    ) -> Report:
        report = Report(projection.name)
        with self._connect() as connection:
            connection.execute(
                "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)",
                [f"{STATEMENT_LIMIT_S}s", f"{LOCK_LIMIT_S * 1000:.0f}ms"],
            )
            with _alone(connection, projection.name) as alone:
                if not alone:
                    report.not_comparable.append("another process checks this projection")
                    return report
                schema = _scratch(connection, projection)
                try:
                    with _snapshot(connection, projection):
                        self._fold(connection, projection, schema, choose, report)
                except NotComparable as reason:
                    report.not_comparable.append(str(reason))
            self._tell(connection, report)
        return report

    def _fold(
        self,
        connection: Connection,
        projection: Projection,
        schema: str,
        choose: Callable[[Connection, int], Sequence[StreamId]],
        report: Report,
    ) -> None:
        checkpoint = read_checkpoint(connection, projection.name)
        if checkpoint is None or checkpoint.version != projection.version:
            raise NotComparable("the rows are of another version of the projection")
        if are_ahead(connection, projection, checkpoint.position):
            raise NotComparable("Kafka has brought some of the rows further than others")
        report.position = checkpoint.position
        left_out = left_out_of(connection, projection.name, checkpoint.position)
        chosen = list(choose(connection, checkpoint.position))
        reading = _Reading(connection, self._codec, projection, report)
        reading.read(chosen)
        streams = self._with_related(connection, projection, reading, chosen, report)
        events = [each for each in reading.events() if each.position not in left_out.statuses]
        report.streams, report.events = len(streams), len(reading.positions)
        _apply(connection, projection, schema, events)
        _compare(connection, projection, schema, streams, reading)

    def _with_related(
        self,
        connection: Connection,
        projection: Projection,
        reading: "_Reading",
        chosen: Sequence[StreamId],
        report: Report,
    ) -> list[StreamId]:
        """Those of the chosen that can be judged, with all that they depend on read."""
        streams = []
        for stream in chosen:
            try:
                related = _related(connection, projection, stream, reading)
            except NotComparable as reason:
                report.not_comparable.append(str(reason))
                continue
            if len(related) > MOST_RELATED_STREAMS:
                report.not_comparable.append(f"{stream} depends on {len(related)} streams")
                continue
            reading.read(sorted(related))
            streams.append(stream)
        return streams

    def _sampled(
        self, connection: Connection, projection: Projection, position: int, sample: int
    ) -> list[StreamId]:
        """From the log, so that rows that are missing are found; and from the rows, for those too many."""
        footprints = FOOTPRINTS[projection.name]
        found = self._from_the_log(connection, list(footprints), position, sample)
        found |= self._from_the_rows(connection, footprints, sample)
        return sorted(self._random.sample(sorted(found), min(sample, len(found))))

    def _from_the_log(
        self, connection: Connection, categories: list[str], position: int, sample: int
    ) -> set[StreamId]:
        if position == 0:
            return set()
        positions = [self._random.randint(1, position) for _ in range(sample * _POSITIONS_FOR_A_STREAM)]
        rows = connection.execute(
            """
            SELECT DISTINCT e.stream_id
            FROM unnest(%s::bigint[]) AS wanted(position)
            JOIN log.positions p USING (position) JOIN log.events e USING (append_id)
            WHERE left(e.stream_id, -37) = ANY (%s)
            """,
            [positions, categories],
        ).fetchall()
        found = sorted(row["stream_id"] for row in rows)
        return set(self._random.sample(found, min(sample, len(found))))

    def _from_the_rows(
        self, connection: Connection, footprints: Mapping[str, Footprint], sample: int
    ) -> set[StreamId]:
        found: set[StreamId] = set()
        for table, column in {pair for each in footprints.values() for pair in each.columns.items()}:
            size = connection.execute(
                "SELECT reltuples::bigint AS rows FROM pg_catalog.pg_class WHERE oid = %s::regclass",
                [f"{LIVE_SCHEMA}.{table}"],
            ).fetchone()
            rows = 0 if size is None else size["rows"]
            percent = 100.0 if rows < _ALL_OF_A_SMALL_TABLE else 100.0 * _ALL_OF_A_SMALL_TABLE / rows
            statement = sql.SQL(
                "SELECT {column} AS stream FROM {table} TABLESAMPLE SYSTEM ({percent})"
                " ORDER BY random() LIMIT {most}"
            ).format(
                column=sql.Identifier(column),
                table=sql.Identifier(LIVE_SCHEMA, table),
                percent=sql.Literal(percent),
                most=sql.Literal(sample),
            )
            found |= {row["stream"] for row in connection.execute(statement).fetchall()}
        return found

    def _tell(self, connection: Connection, report: Report) -> None:
        for each in report.differences:
            log.error(
                "rows are not as the log has them",
                projection=each.projection,
                position=each.position,
                checkpoint=each.checkpoint,
                stream_id=each.stream_id,
                table=each.table,
                key=each.key,
                column=each.column,
                fault=each.fault,
            )
            # Once a day is enough for one that stays.
            connection.execute(
                """
                INSERT INTO ops.checker_differences
                    (projection, checkpoint, position, stream_id, table_name, key, column_name, fault)
                SELECT %(projection)s, %(checkpoint)s, %(position)s, %(stream)s, %(table)s, %(key)s,
                    %(column)s, %(fault)s
                WHERE NOT EXISTS (
                    SELECT FROM ops.checker_differences d
                    WHERE d.projection = %(projection)s AND d.stream_id = %(stream)s
                        AND d.found_at > now() - interval '1 day' AND d.table_name = %(table)s
                        AND d.key = %(key)s AND d.column_name IS NOT DISTINCT FROM %(column)s)
                """,
                {
                    "projection": each.projection,
                    "checkpoint": each.checkpoint,
                    "position": each.position,
                    "stream": each.stream_id,
                    "table": each.table,
                    "key": Jsonb(each.key),
                    "column": each.column,
                    "fault": each.fault,
                },
            )
        if self._metrics is not None:
            self._metrics.differences.labels(report.projection).inc(len(report.differences))
            self._metrics.streams.labels(report.projection).inc(report.streams)


class _Meta(msgspec.Struct, frozen=True):
    event_id: str


_decode_meta = msgspec.json.Decoder(_Meta).decode


class _Reading:
    """Streams up to the checkpoint, read once each, with their bytes checked on the way."""

    def __init__(
        self, connection: Connection, codec: EventCodec, projection: Projection, report: Report
    ) -> None:
        self._connection = connection
        self._codec = codec
        self._projection = projection
        self.report = report
        self._events: dict[StreamId, list[PositionedEvent]] = {}
        self.positions: set[int] = set()
        self.last_position: dict[StreamId, int] = defaultdict(lambda: report.position)

    def of_stream(self, stream: StreamId) -> list[PositionedEvent]:
        return self._events.get(stream, [])

    def events(self) -> list[PositionedEvent]:
        """All that the projection wants to be given, in order."""
        wanted = self._projection.event_types
        found = (each for events in self._events.values() for each in events)
        return sorted(
            (each for each in found if isinstance(each.recorded.event, wanted)),
            key=lambda each: each.position,
        )

    def read(self, streams: Iterable[StreamId]) -> None:
        missing = [stream for stream in streams if stream not in self._events]
        versions: dict[StreamId, int] = defaultdict(int)
        for stream in missing:
            self._events[stream] = []
        rows = self._connection.execute(
            """
            SELECT p.position, e.stream_id, e.version, e.type, e.meta, e.payload, e.leaf,
                p.leaf AS positioned_leaf
            FROM log.events e JOIN log.positions p USING (append_id)
            WHERE e.stream_id = ANY (%s) AND p.position <= %s
            ORDER BY p.position
            """,
            [missing, self.report.position],
        ).fetchall()
        for row in rows:
            stream = row["stream_id"]
            self.positions.add(row["position"])
            self.last_position[stream] = row["position"]
            versions[stream] += 1
            if row["version"] != versions[stream]:
                self._damaged(row, "version", "the versions of the stream are not 1, 2, 3, …")
                versions[stream] = row["version"]
            self._check_bytes(row)

    def _check_bytes(self, row: Mapping[str, Any]) -> None:
        meta, payload = bytes(row["meta"]), bytes(row["payload"])
        try:
            leaf = leaf_hash(
                row["stream_id"], row["version"], row["type"], meta, _decode_meta(meta).event_id, payload
            )
            if leaf != bytes(row["leaf"]):
                self._damaged(row, "leaf", "the stored bytes are not those that were hashed")
            elif leaf != bytes(row["positioned_leaf"]):
                self._damaged(row, "leaf", "the position holds the leaf of something else")
            recorded = self._codec.decode(row["stream_id"], row["version"], row["type"], meta, payload)
        except UnknownEventType:
            pass  # a newer release wrote it; no projection of this one is given it
        except FutureSchemaVersion as error:
            name = row["type"].rpartition(".v")[0]
            if any(cls.type_.name == name for cls in self._projection.event_types):
                raise NotComparable(f"{row['stream_id']} has an event of a newer release") from error
        except (DomainError, msgspec.DecodeError) as error:
            self._damaged(row, "payload", f"cannot be read: {type(error).__name__}")
        else:
            self._events[row["stream_id"]].append(PositionedEvent(row["position"], recorded))

    def _damaged(self, row: Mapping[str, Any], column: str, fault: str) -> None:
        self.report.differences.append(
            Difference(
                projection=self._projection.name,
                checkpoint=self.report.position,
                position=row["position"],
                stream_id=row["stream_id"],
                table=LOG_TABLE,
                key={"stream_id": row["stream_id"], "version": row["version"]},
                column=column,
                fault=fault,
            )
        )


def _apply(
    connection: Connection,
    projection: Projection,
    schema: str,
    events: Sequence[PositionedEvent],
) -> None:
    try:
        with connection.transaction(), writing_to(connection, schema), connection.cursor() as cursor:
            for begin in range(0, len(events), BATCH_SIZE):
                projection.apply(cursor, events[begin : begin + BATCH_SIZE])
    except Exception as error:
        if connection.broken or not is_poison(error):
            raise
        raise NotComparable(f"the sample cannot be applied anew: {type(error).__name__}") from error


def _compare(
    connection: Connection,
    projection: Projection,
    schema: str,
    streams: Sequence[StreamId],
    reading: _Reading,
) -> None:
    for category, footprint in FOOTPRINTS[projection.name].items():
        of_category = [stream for stream in streams if category_of(stream) == category]
        for table, column in footprint.columns.items():
            if of_category:
                for row in _differing(connection, schema, table, column, of_category):
                    reading.report.differences += _differences(projection, table, row, reading)


def _differing(
    connection: Connection, schema: str, table: str, column: str, streams: list[StreamId]
) -> list[dict[str, Any]]:
    key = key_of(connection, table)
    statement = sql.SQL(
        """
        SELECT {stream} AS stream_id, jsonb_build_object({key_pairs}) AS key, to_jsonb(live) AS live,
            to_jsonb(made) AS made
        FROM (SELECT * FROM {live} WHERE {column} = ANY (%(streams)s)) live
        FULL JOIN (SELECT * FROM {made} WHERE {column} = ANY (%(streams)s)) made USING ({key})
        WHERE to_jsonb(live) IS DISTINCT FROM to_jsonb(made)
        """
    ).format(
        stream=sql.SQL("coalesce(live.{0}, made.{0})").format(sql.Identifier(column)),
        key_pairs=sql.SQL(", ").join(
            sql.SQL("{}, {}").format(sql.Literal(name), sql.Identifier(name)) for name in key
        ),
        key=sql.SQL(", ").join(map(sql.Identifier, key)),
        live=sql.Identifier(LIVE_SCHEMA, table),
        made=sql.Identifier(schema, table),
        column=sql.Identifier(column),
    )
    return connection.execute(statement, {"streams": streams}).fetchall()


def _differences(
    projection: Projection, table: str, row: dict[str, Any], reading: _Reading
) -> Iterator[Difference]:
    live, made = row["live"], row["made"]
    if live is None or made is None:
        columns, fault = [None], "the row is missing" if live is None else "the log gives no such row"
    else:
        columns, fault = sorted(name for name in live if live[name] != made[name]), "the value is another"
    for column in columns:
        yield Difference(
            projection=projection.name,
            checkpoint=reading.report.position,
            position=reading.last_position[row["stream_id"]],
            stream_id=row["stream_id"],
            table=table,
            key=row["key"],
            column=column,
            fault=fault,
        )


def _related(
    connection: Connection, projection: Projection, stream: StreamId, reading: _Reading
) -> set[StreamId]:
    """What the rows of a stream depend on beside it. Raises `NotComparable`."""
    footprint = FOOTPRINTS[projection.name].get(category_of(stream) or "")
    if footprint is None or footprint.related is None:
        return set()
    position = reading.report.position
    return set(footprint.related(connection, position, stream, reading.of_stream(stream)))


def _scratch(connection: Connection, projection: Projection) -> str:
    """The schema to fold into: empty at all times, as far as anybody else can see."""
    schema = f"check_{projection.name}"
    if shape_of(connection, projection.tables, schema) != shape_of(connection, projection.tables):
        create_scratch(connection, schema, projection.tables)
    return schema


@contextmanager
def _snapshot(connection: Connection, projection: Projection) -> Iterator[None]:
    """A transaction over one snapshot, rolled back at its end."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    try:
        # Before the snapshot is taken: or a rebuild could put tables there that it sees nothing of.
        for table in sorted({*projection.tables, *ALSO_READ.get(projection.name, ())}):
            connection.execute(
                sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.Identifier(LIVE_SCHEMA, table))
            )
        yield
    finally:
        if not connection.broken:
            connection.execute("ROLLBACK")


@contextmanager
def _alone(connection: Connection, name: str) -> Iterator[bool]:
    lock = f"megacity check {name}"
    try:
        # Waits as long as the session's lock_timeout: mostly the other one has done by then.
        connection.execute("SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended(%s, 0))", [lock])
        alone = True
    except errors.LockNotAvailable:
        alone = False
    try:
        yield alone
    finally:
        if alone and not connection.broken:
            connection.execute(
                "SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended(%s, 0))", [lock]
            )
