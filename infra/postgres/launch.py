"""Become somebody whom PostgreSQL accepts, then turn into the given program. Run as a script, by path.

    python -I -S launch.py MODE UID GID PATH... -- PROGRAM ARGUMENT...

PostgreSQL refuses to run as root. The modes, each after its own kind of machine:

`drop`    to UID and GID, nothing kept: where every folder on the way is open to that user;
`caps`    the same, keeping the rights to search and read what is closed to that user (a checkout in
          a home of mode 0700), as ambient capabilities; the folders' modes stay as they are;
`mapped`  a user namespace in which the present user is called UID: where users cannot be changed
          (containers without these rights); files keep their real owner.

Every PATH is read (a folder: listed) after the change, so that a mode that does not suffice fails here.
Exit status 126 with one sentence on stderr when the change fails; else that of the program.

It stands alone (standard library, no import of this project): it is read before and run after the
change of user, and the project may be closed to the new one.
"""

import ctypes
import os
import sys

PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
LINUX_CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWUSER = 0x10000000
CANNOT = 126


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def drop(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def drop_keeping_access(uid: int, gid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = _CapHeader(LINUX_CAPABILITY_VERSION_3, 0)
    data = (_CapData * 2)()
    _check(libc.capget(ctypes.byref(header), data), "capget")
    wanted = (1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH) & data[0].permitted
    if not wanted:
        raise OSError("no capability to keep")
    # Keeps the capabilities through the change of user and, which PR_SET_KEEPCAPS would not, lets
    # access(2) honour them afterwards: PostgreSQL asks that way whether it may run its own programs.
    _check(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "prctl(PR_SET_SECUREBITS)")
    drop(uid, gid)
    # Exactly these in all three sets: what grows at exec would count as a set-uid start, in which
    # the loader ignores the library path that the wheel's binaries rely on.
    for word, keep in ((data[0], wanted), (data[1], 0)):
        word.effective = word.permitted = word.inheritable = keep
    _check(libc.capset(ctypes.byref(header), data), "capset")
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if wanted & 1 << capability:
            _check(
                libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "prctl(PR_CAP_AMBIENT)"
            )


def map_user(uid: int, gid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    _check(libc.unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER)")
    for name, text in (
        ("setgroups", "deny"),  # the kernel wants this before it lets an ordinary user map groups
        ("uid_map", f"{uid} {outside_uid} 1"),
        ("gid_map", f"{gid} {outside_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - no pathlib: see above
            file.write(text)


MODES = {"drop": drop, "caps": drop_keeping_access, "mapped": map_user}


def main(arguments: list[str]) -> int:
    mode, uid, gid, *rest = arguments
    cut = rest.index("--")
    paths, program = rest[:cut], rest[cut + 1 :]
    try:
        MODES[mode](int(uid), int(gid))
        for path in paths:
            _read(path)
        # PostgreSQL asks access(2) about itself, which answers for the real user; so ask it here too.
        if not os.access(program[0], os.R_OK | os.X_OK):
            raise PermissionError(f"{program[0]} cannot be run by user {os.getuid()}")
        os.execv(program[0], program)  # noqa: S606 - no shell wanted
    except OSError as error:
        sys.stderr.write(f"{error}\n")
    return CANNOT


def _read(path: str) -> None:
    if os.path.isdir(path):  # noqa: PTH112 - see above
        os.listdir(path)  # noqa: PTH208 - see above
    else:
        os.close(os.open(path, os.O_RDONLY))


def _check(answer: int, call: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
