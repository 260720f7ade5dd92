"""Deaths: how a projection finds out that applying an event ends the process.

Whoever follows the log for a projection has a row in `ops.projection_runs`, and holds a lock for as long as
its connection lives. A row without an end whose lock is free is that of somebody who died. Who comes next
goes event by event through the batch that may have been the last, and notes each event before trying it: an
event that was being tried at `DEADLY_TRIES` deaths is not tried again. While nobody dies, nothing of this
costs anything.
"""

from typing import Final

import psycopg

from infra.projections.checkpoints import Connection

DEADLY_TRIES: Final = 3

# Of advisory locks that take two numbers: this one, and the run's.
_LOCK_CLASS: Final = 0x70726F6A


class Run:
    """One connection's following of the log for one projection."""

    def __init__(self, name: str, run_id: int, *, after_death: bool) -> None:
        self._name = name
        self._run_id = run_id
        self.after_death = after_death
        """Whether somebody died before: then the next batch is to be gone through with care."""

    @classmethod
    def begin(cls, connection: Connection, name: str) -> "Run":
        with connection.transaction():
            _last_longer_than_the_server(connection)
            row = connection.execute(
                "INSERT INTO ops.projection_runs (projection) VALUES (%s) RETURNING run_id", [name]
            ).fetchone()
            assert row is not None
            run_id: int = row["run_id"]
            # Before the row can be seen: nobody finds it without its lock.
            connection.execute("SELECT pg_advisory_lock(%s, %s)", [_LOCK_CLASS, _lock_number(run_id)])
        dead = [
            each["run_id"]
            for each in connection.execute(
                "SELECT run_id FROM ops.projection_runs WHERE projection = %s AND ended_at IS NULL"
                " AND run_id <> %s",
                [name, run_id],
            ).fetchall()
            if _is_gone(connection, each["run_id"])
        ]
        connection.execute(
            "UPDATE ops.projection_runs SET ended_at = now(), died = true"
            " WHERE run_id = ANY(%s) AND ended_at IS NULL",
            [dead],
        )
        return cls(name, run_id, after_death=bool(dead))

    def deaths_at(self, connection: Connection, position: int) -> int:
        """How many have died while they tried the event at this position."""
        row = connection.execute(
            "SELECT count(*) AS n FROM ops.projection_runs WHERE projection = %s AND died AND trying = %s",
            [self._name, position],
        ).fetchone()
        assert row is not None
        return int(row["n"])

    def note(self, connection: Connection, position: int | None) -> None:
        """Says, durably and before it is tried, which event comes now; None when the care is over."""
        with connection.transaction():
            _last_longer_than_the_server(connection)
            connection.execute(
                "UPDATE ops.projection_runs SET trying = %s WHERE run_id = %s", [position, self._run_id]
            )

    def end(self, connection: Connection, *, died: bool = False) -> None:
        """After this nobody takes it for dead, or everybody does; forgets runs that tell nothing any more.

        `connection` may be another than the one that it began with.
        """
        connection.execute(
            "UPDATE ops.projection_runs SET ended_at = coalesce(ended_at, now()), died = died OR %s"
            " WHERE run_id = %s",
            [died, self._run_id],
        )
        connection.execute(
            """
            DELETE FROM ops.projection_runs r USING ops.projections p
            WHERE p.name = %s AND r.projection = p.name AND r.ended_at IS NOT NULL
              AND (NOT r.died OR coalesce(r.trying, 0) <= p.position)
            """,
            [self._name],
        )
        connection.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK_CLASS, _lock_number(self._run_id)])


def took_the_connection_along(error: BaseException) -> bool:
    """Whether the server's side ended without a word, as it does when the event crashes it.

    A server that is stopped, or told to end a connection, says so before it goes.
    """
    return isinstance(error, psycopg.OperationalError) and error.sqlstate is None


def _is_gone(connection: Connection, run_id: int) -> bool:
    number = _lock_number(run_id)
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s) AS gone", [_LOCK_CLASS, number]).fetchone()
    assert row is not None
    if row["gone"]:
        connection.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK_CLASS, number])
    return bool(row["gone"])


def _lock_number(run_id: int) -> int:
    # Two runs that share a number after four billion of them would wait for each other's end, nothing worse.
    return (run_id + 2**31) % 2**32 - 2**31


def _last_longer_than_the_server(connection: Connection) -> None:
    # Rows and checkpoints may be lost together by a crash of the server; a note of a death may not.
    connection.execute("SET LOCAL synchronous_commit = on")
