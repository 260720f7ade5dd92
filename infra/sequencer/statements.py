"""The sequencer's statements. Each runs by itself, in READ COMMITTED and autocommit.

How events are found: `log.batches` keeps the snapshot of the last batch and the highest append id in it.
What was visible then and lies at or below that append id has its position. So what is new is either

- above that append id (found by append id), or
- at or below it, from a transaction that was not finished when the snapshot was taken (found by its id:
  it is in the snapshot's list of running ones, or not below its upper end).

Rows and the new snapshot come out of one statement, so nothing commits between the two. Positions follow
the append ids within a batch; the event before in a stream has a smaller one and was visible earlier, so
the order of every stream is kept, also where a limit cuts a batch.

Nothing is handed in but the limit: where the log ends is read in the same statement. A sequencer that
slept and lost its lead does a right step when it wakes, or collides with the primary key of positions.
"""

from typing import Final, LiteralString

CHANNEL: Final = "log_sequenced"
"""Notified with the last position, once a batch."""

SEQUENCE: Final[LiteralString] = """
WITH last AS MATERIALIZED (
    SELECT last_position, last_append_id, snapshot, system_id FROM log.batches ORDER BY batch DESC LIMIT 1
), late AS MATERIALIZED (
    SELECT found.append_id, found.leaf
    FROM (
        SELECT e.append_id, e.leaf FROM log.events e
        WHERE e.xid = ANY (ARRAY(SELECT pg_snapshot_xip(last.snapshot) FROM last))
            AND e.append_id <= (SELECT last_append_id FROM last)
        UNION ALL
        SELECT e.append_id, e.leaf FROM log.events e
        WHERE e.xid >= (SELECT pg_snapshot_xmax(last.snapshot) FROM last)
            -- Rows from a cluster whose transaction ids were higher look new for ever: not beyond our own.
            AND e.xid < pg_snapshot_xmax(pg_current_snapshot())
            AND e.append_id <= (SELECT last_append_id FROM last)
    ) found
    WHERE NOT EXISTS (SELECT FROM log.positions p WHERE p.append_id = found.append_id)
    ORDER BY found.append_id
    LIMIT %(limit)s
), fresh AS (
    SELECT e.append_id, e.leaf FROM log.events e
    WHERE e.append_id > (SELECT last_append_id FROM last)
        -- Late ones that did not all fit come first: a fresh one may follow them in its stream.
        AND (SELECT count(*) FROM late) < %(limit)s
    ORDER BY e.append_id
    LIMIT %(limit)s
), found AS (
    -- Both in order already: they are merged, and nothing is kept in memory or sorted.
    SELECT * FROM late UNION ALL SELECT * FROM fresh
), placed AS (
    INSERT INTO log.positions (position, append_id, leaf)
    SELECT last.last_position + row_number() OVER (ORDER BY found.append_id), found.append_id, found.leaf
    FROM found CROSS JOIN last
    RETURNING append_id
), batch AS (
    INSERT INTO log.batches (last_position, last_append_id, snapshot, system_id)
    SELECT last.last_position + counted.events,
        CASE WHEN counted.all_late THEN greatest(last.last_append_id, counted.last_append_id)
             ELSE last.last_append_id END,
        CASE WHEN counted.all_late THEN pg_current_snapshot() ELSE last.snapshot END,
        last.system_id
    FROM last CROSS JOIN (
        SELECT count(*) AS events, max(append_id) AS last_append_id,
            (SELECT count(*) FROM late) < %(limit)s AS all_late
        FROM placed
    ) counted
    WHERE counted.events > 0
    RETURNING last_position
)
SELECT batch.last_position, batch.last_position - last.last_position AS events,
    pg_notify('log_sequenced', batch.last_position::text)
FROM batch CROSS JOIN last
"""

MOVED_CLUSTER: Final[LiteralString] = """
SELECT system_id <> (SELECT system_identifier FROM pg_control_system())
    OR pg_snapshot_xmax(snapshot) > pg_snapshot_xmax(pg_current_snapshot())
FROM log.batches ORDER BY batch DESC LIMIT 1
"""
"""Whether the stored snapshot speaks of other transaction ids than this cluster's: after a dump was
restored elsewhere, after an upgrade into a new cluster. Its differences would find nothing, silently."""

REBASE: Final[LiteralString] = """
WITH last AS MATERIALIZED (
    SELECT last_position FROM log.batches ORDER BY batch DESC LIMIT 1
), missing AS MATERIALIZED (
    SELECT e.append_id, e.leaf FROM log.events e
    WHERE NOT EXISTS (SELECT FROM log.positions p WHERE p.append_id = e.append_id)
), placed AS (
    INSERT INTO log.positions (position, append_id, leaf)
    SELECT last.last_position + row_number() OVER (ORDER BY missing.append_id),
        missing.append_id, missing.leaf
    FROM missing CROSS JOIN last
), batch AS (
    INSERT INTO log.batches (last_position, last_append_id, snapshot, system_id)
    SELECT last.last_position + (SELECT count(*) FROM missing),
        (SELECT coalesce(max(append_id), 0) FROM log.events),
        pg_current_snapshot(),
        (SELECT system_identifier FROM pg_control_system())
    FROM last
    RETURNING last_position
)
SELECT batch.last_position, batch.last_position - last.last_position AS events,
    pg_notify('log_sequenced', batch.last_position::text)
FROM batch CROSS JOIN last
"""
"""Gives a position to every event that has none, by looking at them all, and starts from there."""

UNSEQUENCED: Final[LiteralString] = """
WITH last AS MATERIALIZED (
    SELECT last_append_id, snapshot FROM log.batches ORDER BY batch DESC LIMIT 1
)
SELECT e.append_id FROM log.events e
WHERE e.append_id > (SELECT last_append_id FROM last)
UNION ALL
SELECT e.append_id FROM log.events e
WHERE e.append_id <= (SELECT last_append_id FROM last)
    AND (e.xid = ANY (ARRAY(SELECT pg_snapshot_xip(last.snapshot) FROM last))
         OR e.xid >= (SELECT pg_snapshot_xmax(last.snapshot) FROM last)
            AND e.xid < pg_snapshot_xmax(pg_current_snapshot()))
    AND NOT EXISTS (SELECT FROM log.positions p WHERE p.append_id = e.append_id)
"""
"""Append ids of what is committed and has no position."""
