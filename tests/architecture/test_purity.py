"""The domain asks for time, chance and ids as arguments; importing any module does nothing at all."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("domain", "commands", "projections", "read_api", "gpu_workers", "infra")

FORBIDDEN_CALLS = {
    "now",
    "utcnow",
    "today",
    "time",
    "time_ns",
    "monotonic",
    "perf_counter",
    "uuid1",
    "uuid4",
    "uuid7",
    "token_bytes",
    "token_hex",
    "token_urlsafe",
    "urandom",
    "getenv",
    "open",
    "print",
    "input",
    "sleep",
    "default_rng",
    "RandomState",
    "SeedSequence",
    "rvs",
}
FORBIDDEN_MODULES = {
    "time",
    "random",
    "secrets",
    "uuid",
    "uuid_utils",
    "os",
    "sys",
    "socket",
    "asyncio",
    "threading",
}


def impurities(source: str) -> Iterator[str]:
    """Each use of a clock, of chance or of the outside world in `source`, with its line."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in FORBIDDEN_CALLS:
                yield f"line {node.lineno}: {name}()"
            case ast.Attribute(attr="environ"):
                yield f"line {node.lineno}: .environ"
            case ast.Import(names=names):
                for each in names:
                    if each.name.split(".")[0] in FORBIDDEN_MODULES:
                        yield f"line {node.lineno}: import {each.name}"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in FORBIDDEN_MODULES:
                yield f"line {node.lineno}: from {module} import"
            case _:
                yield from _chance(node)


def _chance(node: ast.AST) -> Iterator[str]:
    """What numpy draws from nowhere; a generator that is handed in is named by its type alone."""
    match node:
        case ast.Call(func=ast.Attribute(attr="PCG64"), args=[]):
            yield f"line {node.lineno}: PCG64 without a seed"
        case ast.Attribute(attr=made, value=ast.Attribute(attr="random", value=ast.Name(id="np" | "numpy"))):
            if made not in {"Generator", "PCG64"}:
                yield f"line {node.lineno}: np.random.{made}"
        case _:
            pass


def modules(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_domain_uses_no_clock_no_chance_and_no_outside_world() -> None:
    found = {
        f"{path.relative_to(ROOT)} {each}"
        for path in modules("domain")
        for each in impurities(path.read_text(encoding="utf-8"))
    }

    assert found == set()


@pytest.mark.parametrize(
    "planted",
    [
        "from datetime import datetime\nat = datetime.now()",
        "import datetime\nat = datetime.datetime.now(tz=datetime.UTC)",
        "from datetime import date\nat = date.today()",
        "import time\n",
        "from time import monotonic\n",
        "from uuid import uuid4\n",
        "import uuid\nnew = uuid.uuid4()",
        "import random\n",
        "import numpy as np\nx = np.random.default_rng()",
        "import numpy as np\nx = np.random.random()",
        "import numpy as np\nx = np.random.Generator(np.random.PCG64())",
        "from numpy.random import default_rng\nx = default_rng(1)",
        "import scipy.stats\nx = scipy.stats.norm.rvs(5)",
        "from secrets import token_hex\n",
        "import os.path\n",
        "text = open('x').read()",
        "print('x')",
    ],
)
def test_a_planted_impurity_is_seen(planted: str) -> None:
    assert list(impurities(planted))


def test_chance_that_is_handed_in_is_no_impurity() -> None:
    source = "import numpy as np\ndef draw(rng: np.random.Generator) -> float:\n    return rng.random()"
    assert not list(impurities(source))


# Runs in a process of its own: an audit hook cannot be taken off again. It stops whatever an import might do
# to the world, and says which module it was.
IMPORT_ALL = """
import importlib, os, signal, sys, threading

STOPPED = {
    "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.fork",
    "os.posix_spawn", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.chmod", "os.putenv",
    "shutil.rmtree",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
name = None

def refuse(what):
    raise RuntimeError(f"{name} does {what} when imported")

def hook(event, arguments):
    if name is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if flags & WRITING and path != os.devnull:
            refuse(f"open {path!r} for writing")
    elif event in STOPPED:
        refuse(f"{event} {arguments!r}")

sys.addaudithook(hook)
# What libraries do when they are imported is theirs; it has happened once these are loaded.
for library in LIBRARIES:
    importlib.import_module(library)
# These two raise no audit event in every Python that we know.
threading.Thread.start = lambda thread: refuse("start a thread")
signal.signal = lambda number, handler: refuse("handle a signal")
for name in NAMES:
    importlib.import_module(name)
name = None
print(len(NAMES), "imported")
"""
LIBRARIES = [
    "eventsourcing.persistence",
    "fastapi",
    "highspy",
    "httpx",
    "joserfc.jwt",
    "logging.config",
    "msgspec",
    "prometheus_client",
    "psycopg_pool",
    "pwdlib",
    "pydantic_settings",
    "rich.console",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.special",
    "scipy.stats",
    "structlog",
    "typer",
    "uvicorn",
    "uvloop",
]


def import_in_a_guarded_process(
    names: list[str], search: Path, libraries: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    program = f"LIBRARIES = {list(libraries)!r}\nNAMES = {names!r}\n{IMPORT_ALL}"
    return subprocess.run(
        [sys.executable, "-B", "-c", program], cwd=search, capture_output=True, text=True, check=False
    )


def test_importing_any_module_does_nothing() -> None:
    # A module named __main__ is a program.
    names = [module_name(path) for path in modules(*PACKAGES) if path.stem != "__main__"]

    imported = import_in_a_guarded_process(names, ROOT, LIBRARIES)

    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.split()[0] == str(len(names))


@pytest.mark.parametrize(
    "planted",
    [
        "open('made', 'w').write('x')",
        "import pathlib; pathlib.Path('made').mkdir()",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.create_server(('127.0.0.1', 0))",
        "import subprocess; subprocess.run(['true'])",
        "import threading; threading.Thread(target=print).start()",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_DFL)",
    ],
)
def test_a_module_that_does_something_when_imported_is_caught(planted: str, tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(planted)

    imported = import_in_a_guarded_process(["planted"], tmp_path)

    assert imported.returncode != 0
    assert "planted" in imported.stderr
    assert "when imported" in imported.stderr
    assert not (tmp_path / "made").exists()
