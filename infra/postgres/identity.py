"""As whom the server runs. PostgreSQL refuses root, so root has to find somebody else.

An ordinary user runs it as itself. Root tries, in this order, until one can read the programs and
reach the data folder (see `launch.py` for what each mode does): `drop`, `caps`, `mapped`.
"""

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.postgres.binaries import Binaries
from infra.postgres.errors import DataFolderUnusable, ServerNotStarted
from infra.postgres.launch import CAP_DAC_OVERRIDE

_LAUNCHER = Path(__file__).with_name("launch.py")
_MAPPED_UID = 1000  # any but 0, and not the number that unmapped owners show up as
_NOBODY_UID = 65534


@dataclass(frozen=True, slots=True)
class Identity:
    """A way to start a program: how the user is changed, and who then owns the data folder."""

    mode: str
    uid: int
    gid: int
    owner_uid: int
    owner_gid: int

    def command(self, program: Sequence[str | Path], *, reads: Sequence[Path] = ()) -> list[str]:
        words = [str(word) for word in program]
        if self.mode == "direct":
            return words
        change = [sys.executable, "-I", "-S", str(_LAUNCHER), self.mode, str(self.uid), str(self.gid)]
        return [*change, *map(str, reads), "--", *words]


def possible_identities(data_dir: Path) -> list[Identity]:
    """Best first. An ordinary user has one: itself."""
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0:
        return [Identity("direct", uid, gid, uid, gid)]
    mapped = Identity("mapped", _MAPPED_UID, _MAPPED_UID, uid, gid)
    if not _may_enter_every_folder():
        return [mapped]  # a data folder given to another user would then be closed to ourselves
    user, group = _service_user(data_dir)
    return [Identity("drop", user, group, user, group), Identity("caps", user, group, user, group), mapped]


def settle(identities: Sequence[Identity], folder: Path, binaries: Binaries) -> Identity:
    """The first identity that works here, `folder` (with all in it) then being its own.

    Raises:
        DataFolderUnusable: an ordinary user, and the folder belongs to another.
        ServerNotStarted: none works; says why for each.
    """
    reasons = []
    for identity in identities:
        try:
            own(folder, identity)
            _probe(identity, folder, binaries)
        except _DoesNotWorkError as error:
            reasons.append(f"{identity.mode}: {error}")
        else:
            return identity
    raise ServerNotStarted(
        "no way to run it as an unprivileged user (PostgreSQL refuses root): "
        + "; ".join(reasons)
        + ". Run the program as an ordinary user, or set DATABASE_URL."
    )


def own(folder: Path, identity: Identity) -> None:
    """Make the folder and everything in it the identity's, where it is not yet."""
    owner = folder.stat().st_uid
    if owner == identity.owner_uid:
        return
    if identity.mode == "direct":
        raise DataFolderUnusable(
            folder,
            f"it belongs to {_user_name(owner)} and this program runs as {_user_name(identity.uid)}. "
            f"Run it as {_user_name(owner)} or as root, or move the folder away to begin anew.",
        )
    try:
        # The folder itself comes last: if this is cut off, the next start sees the old owner and goes on.
        for _, folders, files, at in os.fwalk(folder, topdown=False):
            for name in [*folders, *files]:
                os.chown(name, identity.owner_uid, identity.owner_gid, dir_fd=at, follow_symlinks=False)
        os.chown(folder, identity.owner_uid, identity.owner_gid, follow_symlinks=False)
    except OSError as error:
        raise _DoesNotWorkError(f"the owner of {folder} could not be changed ({error.strerror})") from error


class _DoesNotWorkError(Exception):
    pass


def _probe(identity: Identity, folder: Path, binaries: Binaries) -> None:
    installed = [binaries.bin_dir.parent / part for part in ("share", "lib")]
    reads = [folder, binaries.postgres, binaries.initdb, *(path for path in installed if path.is_dir())]
    for program in (binaries.postgres, binaries.initdb):
        tried = subprocess.run(  # noqa: S603 - our own launcher and PostgreSQL
            identity.command([program, "--version"], reads=reads),
            cwd="/",
            env={"LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode != 0:
            raise _DoesNotWorkError(tried.stderr.strip() or f"exit status {tried.returncode}")


def _may_enter_every_folder() -> bool:
    """Whether this root has CAP_DAC_OVERRIDE, which a container may have taken away."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return True  # no Linux, so no capabilities
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.partition(":")[2], 16) & 1 << CAP_DAC_OVERRIDE)


def _service_user(data_dir: Path) -> tuple[int, int]:
    """Who owns the data folder or, of the folders above it, the nearest that is not root's; else nobody."""
    for folder in (data_dir, *data_dir.parents):
        try:
            found = folder.stat()
        except FileNotFoundError:
            continue
        if found.st_uid != 0 and stat.S_ISDIR(found.st_mode):
            return found.st_uid, found.st_gid
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return _NOBODY_UID, _NOBODY_UID
    return nobody.pw_uid, nobody.pw_gid


def _user_name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user number {uid}"
