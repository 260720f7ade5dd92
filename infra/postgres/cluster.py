"""The data folder of the embedded server: made whole or not at all, and checked before each start."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from infra.postgres import identity
from infra.postgres.binaries import Binaries
from infra.postgres.errors import (
    DataFolderUnusable,
    OtherMajorVersion,
    PasswordLost,
    ServerNotStarted,
    StillInUse,
)
from infra.postgres.processes import servers_in, shared_memory_in_use, wait_until

SUPERUSER = "megacity_admin"

# Every line wants a password. There is no `local` line and no other address: the server listens on
# 127.0.0.1 alone and has no socket file.
_HBA = """\
# Written by the program at each start; changes here do not last.
# TYPE  DATABASE     USER  ADDRESS       METHOD
host    all          all   127.0.0.1/32  scram-sha-256
"""
_END_TIME_LIMIT_S = 10.0


def create(data_dir: Path, binaries: Binaries, password: str) -> None:
    """Make a new data folder.

    It is made beside its place and renamed when complete, so that a folder of the right name is a
    whole one; what an interrupted attempt left behind is thrown away.
    """
    if data_dir.exists() and any(data_dir.iterdir()):
        raise DataFolderUnusable(
            data_dir, "it is not empty and holds no PostgreSQL data (no PG_VERSION). Move it away."
        )
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    building = data_dir.with_name(data_dir.name + ".new")
    _throw_away(building)
    building.mkdir(mode=0o700)
    who = identity.settle(identity.possible_identities(data_dir), building, binaries)
    password_file = building / "password"
    _write_private(password_file, password)
    os.chown(password_file, who.owner_uid, who.owner_gid)
    arguments: list[str | Path] = [
        *(binaries.initdb, "-D", building / "data", f"--username={SUPERUSER}", f"--pwfile={password_file}"),
        *("--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--locale=C"),
    ]
    if binaries.major_version() >= 17:
        # Sorts by code point like C, and unlike C knows upper and lower case beyond ASCII.
        arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    made = subprocess.run(  # noqa: S603 - our own launcher and PostgreSQL
        who.command(arguments),
        cwd=building,
        env={"LC_ALL": "C", "PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise ServerNotStarted(f"initdb ended with {made.returncode}: {made.stdout.strip()[-2000:]}")
    if data_dir.exists():
        data_dir.rmdir()  # known to be empty
    (building / "data").rename(data_dir)
    _sync_folder(data_dir.parent)
    _throw_away(building)


def check(data_dir: Path, binaries: Binaries) -> bool:
    """True when there is a data folder that these binaries can serve; False when there is none yet.

    Raises DataFolderUnusable (also as OtherMajorVersion) when there is one that they cannot.
    """
    try:
        found = (data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return False
    except PermissionError:
        identity.own(data_dir, identity.possible_identities(data_dir)[0])  # raises with the owner's name
        raise
    if int(found.partition(".")[0]) != binaries.major_version():
        raise OtherMajorVersion(data_dir, found=int(found.partition(".")[0]), ours=binaries.major_version())
    return True


def write_access_rules(data_dir: Path) -> None:
    """Passwords for everybody, whatever the folder's own rules have become."""
    path = data_dir / "pg_hba.conf"
    # Not through a link: this may be root writing into a folder of somebody else.
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "r+", encoding="utf-8") as file:
        if file.read() == _HBA:
            return
        file.seek(0)
        file.truncate()
        file.write(_HBA)
        file.flush()
        os.fsync(file.fileno())
        owner = data_dir.stat()
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)


def superuser_password(secrets_dir: Path, data_dir: Path, *, create_if_missing: bool) -> str:
    """The generated password of the superuser, kept in a file that only its owner reads.

    Raises PasswordLost when there is none and none may be made.
    """
    path = password_path(secrets_dir)
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if not create_if_missing:
            raise PasswordLost(data_dir, path, wrong=False) from None
    except PermissionError as error:
        raise DataFolderUnusable(
            data_dir, f"its password file {path} belongs to another user. Run the program as that user."
        ) from error
    secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secrets.token_urlsafe(32)
    _write_private(path, password)
    _sync_folder(secrets_dir)
    return password


def password_path(secrets_dir: Path) -> Path:
    return secrets_dir / "postgres_superuser_password"


def end_leftovers(folder: Path, *, shared_memory_id: int | None = None, patience_s: float = 5.0) -> None:
    """Wait for processes of a server that is gone; end those that stay.

    After `kill -9` of the server its children notice and leave, usually within milliseconds. A new
    server beside a straggler could ruin the data.

    Raises StillInUse when somebody stays who cannot be ended.
    """
    owner_uid = folder.stat().st_uid

    def all_gone() -> bool:
        return not servers_in(folder) and not shared_memory_in_use(shared_memory_id, owner_uid)

    if wait_until(all_gone, time_limit_s=patience_s):
        return
    for pid in servers_in(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not wait_until(all_gone, time_limit_s=_END_TIME_LIMIT_S):
        raise StillInUse(folder, servers_in(folder))


def _throw_away(building: Path) -> None:
    if building.exists():
        end_leftovers(building, patience_s=0)  # an initdb whose caller was killed
        shutil.rmtree(building)


def _write_private(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".part")
    unfinished.unlink(missing_ok=True)
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
