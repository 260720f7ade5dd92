"""What `megacity doctor` looks at. A check looks and says; it changes nothing."""

import importlib.metadata
import json
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from infra.settings import Settings

DISTRIBUTION = "megacity"
OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 15
_GIB = 1024**3
_CONNECT_LIMIT_S = 5
_WHAT_EXTRAS_ARE_FOR = {
    "export": "exports of the event log into Parquet",
    "kafka": "the broker of `megacity up --with-kafka`",
    "otel": "OpenTelemetry traces",
    "samples": "the LSAT7 responses that the first `make run` plays",
    "stt": "speech to text",
    "pose": "pose and motion scoring",
    "image": "image generation",
    "llm": "language models",
}
_EXTRAS_WANTED = ("samples",)


@dataclass(frozen=True)
class Check:
    """What was looked at, how it stands, and what to do where it is not well."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str | None = None


def of_environment() -> Iterator[Check]:
    """Python and its packages. Needs nothing but the standard library."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < OLDEST_PYTHON:
        yield Check("Python", "fail", version, "`make PYTHON=/path/to/python3.12 setup`")
    else:
        yield Check("Python", "ok", f"{version} ({sys.executable})")
    if sys.prefix != sys.base_prefix:
        yield Check("virtual environment", "ok", sys.prefix)
    else:
        yield Check("virtual environment", "warn", "not used", "`make setup` makes .venv")
    core, extras = _requirements()
    for package in core:
        found = _installed_version(package)
        if found is not None:
            yield Check(package, "ok", found)
        else:
            yield Check(package, "fail", "not installed", "`make setup`")
    for extra, packages in extras.items():
        yield _extra(extra, packages)


def of_settings(settings: "Settings") -> Iterator[Check]:
    """Files, disk, port and database, as set."""
    from infra.settings import unknown_variables

    for name in unknown_variables(os.environ):
        yield Check("settings", "warn", f"{name} is set, and nothing reads it", "is it misspelt?")
    var_folder = _var_folder(settings.var_dir)
    yield var_folder
    yield _disk(settings.var_dir)
    yield from _secret_files(settings)
    yield _port(settings)
    if settings.database.url is not None:
        yield from _database(settings.database.url.get_secret_value())
    elif var_folder.status == "ok":  # the embedded server lives in it
        yield from _embedded_database(settings)


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """The packages that are always needed, and those of each extra."""
    core: list[str] = []
    extras: dict[str, list[str]] = {}
    for requirement in importlib.metadata.requires(DISTRIBUTION) or []:
        name = re.split(r"[\s\[<>=!~;(]", requirement, maxsplit=1)[0]
        marker = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        if marker is None:
            core.append(name)
        else:
            extras.setdefault(marker[1], []).append(name)
    return core, extras


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extra(extra: str, packages: list[str]) -> Check:
    purpose = _WHAT_EXTRAS_ARE_FOR.get(extra, "optional work")
    missing = [package for package in packages if _installed_version(package) is None]
    if not missing:
        return Check(f"extra {extra}", "ok", f"installed ({', '.join(packages)})")
    wanted = " ".join(dict.fromkeys([*_EXTRAS_WANTED, extra]))
    return Check(
        f"extra {extra}",
        "warn" if extra in _EXTRAS_WANTED else "ok",
        f"not installed; only for {purpose}",
        f'`make setup EXTRAS="{wanted}"`, or `uv sync --inexact --extra {extra}`',
    )


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _var_folder(var_dir: Path) -> Check:
    folder = _nearest_existing(var_dir)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        detail = f"{folder} is not writable: {error.strerror}"
        return Check("var folder", "fail", detail, "set MEGACITY_VAR_DIR to a folder of yours")
    return Check("var folder", "ok", str(var_dir) if folder == var_dir else f"{var_dir} (will be made)")


def _disk(var_dir: Path) -> Check:
    free_gib = shutil.disk_usage(_nearest_existing(var_dir)).free / _GIB
    detail = f"{free_gib:.1f} GiB free"
    if free_gib < 1:
        return Check("disk", "fail", detail, "PostgreSQL stops when the disk is full: make room")
    if free_gib < 5:
        return Check("disk", "warn", detail, "make room before playing large data")
    return Check("disk", "ok", detail)


def _secret_files(settings: "Settings") -> Iterator[Check]:
    files = [
        settings.database.role_secret_file,
        settings.auth.signing_key_file,
        settings.auth.refresh_secret_file,
        settings.auth.email_hash_key_file,
    ]
    present = [file for file in files if file.is_file()]
    for file in present:
        if stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            yield Check("secrets", "warn", f"{file} can be read by others", f"chmod 600 {file}")
    if len(present) == len(files):
        yield Check("secrets", "ok", "all there")
    else:
        yield Check(
            "secrets", "ok", f"{len(present)} of {len(files)} there; the others are made on first use"
        )


def _port(settings: "Settings") -> Check:
    host, port = settings.http.host, settings.http.port
    if port == 0:
        return Check("port", "ok", "a free one is taken")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            return Check("port", "ok", f"{host}:{port} is free")
    except OSError as error:
        holder = _running_process(settings.run_lock_file)
        if holder is not None:
            return Check("port", "ok", f"{host}:{port} is in use; process {holder} runs this checkout")
        detail = f"{host}:{port} cannot be used: {error.strerror}"
        return Check("port", "fail", detail, "stop what uses it, or MEGACITY_HTTP__PORT=0 for a free one")


def _running_process(run_lock_file: Path) -> int | None:
    """Who runs this checkout. The lock itself is not tried: that could get in the way of a start."""
    try:
        pid = int(json.loads(run_lock_file.read_bytes())["pid"])
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid


def _embedded_database(settings: "Settings") -> Iterator[Check]:
    from psycopg.conninfo import make_conninfo

    from infra.postgres import cluster
    from infra.postgres.binaries import wheel_binaries
    from infra.postgres.embedded import EmbeddedPostgres
    from infra.postgres.errors import PostgresError

    try:
        major = wheel_binaries().major_version()
    except PostgresError as error:
        yield Check("embedded PostgreSQL", "fail", str(error), "`make setup`, or set DATABASE_URL")
        return
    yield Check("embedded PostgreSQL", "ok", f"version {major}")
    data_dir, secrets_dir = settings.postgres_data_dir, settings.secrets_dir
    server = EmbeddedPostgres(data_dir, secrets_dir, log_file=settings.postgres_log_file).status()
    if not server.running:
        there = "data is there" if data_dir.exists() else "no data yet"
        yield Check("database server", "ok", f"not running ({there}); `make run` starts it")
        return
    yield Check("database server", "ok", f"process {server.pid}, port {server.port}")
    try:
        password = cluster.superuser_password(secrets_dir, data_dir, create_if_missing=False)
    except PostgresError as error:
        yield Check("database", "fail", str(error))
        return
    yield from _database(
        make_conninfo(
            host="127.0.0.1",
            port=server.port,
            user=cluster.SUPERUSER,
            password=password,
            dbname=settings.database.embedded_name,
        )
    )


def _database(conninfo: str) -> Iterator[Check]:
    import psycopg

    from infra.observability.redaction import mask_passwords
    from infra.postgres.errors import PostgresError
    from infra.postgres.migrate import pending

    try:
        with psycopg.connect(conninfo, connect_timeout=_CONNECT_LIMIT_S, autocommit=True) as connection:
            version = connection.info.server_version
            where = f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}"
    except psycopg.Error as error:
        reason = mask_passwords(str(error).strip().splitlines()[0])
        yield Check(
            "database", "fail", f"not reachable: {reason}", "is the server up, is DATABASE_URL right?"
        )
        return
    number = f"{version // 10_000}.{version % 10_000}"
    if version < OLDEST_POSTGRES * 10_000:
        detail = f"PostgreSQL {number} at {where}"
        yield Check("database", "fail", detail, f"MegaCity needs PostgreSQL {OLDEST_POSTGRES} or newer")
        return
    yield Check("database", "ok", f"PostgreSQL {number} at {where}")
    try:
        missing = pending(conninfo)
    except (PostgresError, psycopg.Error) as error:
        yield Check("migrations", "fail", mask_passwords(str(error).strip()))
        return
    if missing:
        yield Check(
            "migrations", "warn", f"{len(missing)} pending: {', '.join(missing)}", "`megacity migrate`"
        )
    else:
        yield Check("migrations", "ok", "all applied")
