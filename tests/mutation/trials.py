"""Tests run in a process of their own, with one mutant in place of its module: no file is changed.

The parent imports what everybody needs (numpy, scipy, the plugins) and nothing of the repository; each child
is a fork of it that runs pytest once.
"""

import ast
import contextlib
import importlib.util
import json
import os
import resource
import sys
import threading
import time
import types
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

import hypothesis
import pytest

_WITHOUT = ("cacheprovider", "xdist", "schemathesis")
_QUIET = ("-q", "-W", "ignore", "-o", "timeout=300", *(f"-pno:{plugin}" for plugin in _WITHOUT))
_MEMORY_B = 6 << 30
"""A mutant that asks for more is as good as dead, and must not take the machine with it."""


@dataclass(frozen=True)
class Reach:
    """Of each test: the lines of the package that it runs, by file, and the CPU seconds that it takes.

    failed: the tests, or files of them, that are no use here, as they fail without any mutant.
    """

    lines: dict[str, dict[str, frozenset[int]]]
    seconds: dict[str, float]
    failed: tuple[str, ...] = ()

    def tests_of(self, path: Path, lines: range) -> list[str]:
        """Those that run one of the lines, the shortest first.

        Where no line is named, as the mutant acts at import: those that run any of the file's, then all
        others, for they may look at what was defined.
        """
        wanted = set(lines)
        found = {
            test: bool(ran := files.get(str(path))) and (not wanted or not wanted.isdisjoint(ran))
            for test, files in self.lines.items()
        }
        chosen = [test for test, runs in found.items() if runs or not wanted]
        return sorted(chosen, key=lambda test: (not found[test], self.seconds[test], test))


@dataclass(frozen=True)
class Verdict:
    """`killer`: the test that failed, or what else ended it; None where the mutant lives."""

    killer: str | None
    seconds: float


def prepare(tests: list[str], root: Path) -> None:
    """Everything that the tests import is loaded, and what is under the root is forgotten again."""
    hypothesis.settings.register_profile(
        "mutation",
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=30,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    hypothesis.settings.load_profile("mutation")
    with _silence():
        pytest.main([*_QUIET, "--collect-only", *tests])
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "/")
        if file.is_relative_to(root) and ".venv" not in file.parts and file.parent != Path(__file__).parent:
            del sys.modules[name]


def reach_of(tests: list[str], package: Path) -> Reach:
    """One run of all tests, watched line by line. What fails here, without any mutant, is left out."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        watch = _Watch(str(package))
        _pytest(["--continue-on-collection-errors", *tests], watch)
        with os.fdopen(writing, "w") as out:
            json.dump({"lines": watch.reached(), "seconds": watch.seconds, "failed": watch.failed}, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        seen = json.load(told)
    os.waitpid(child, 0)
    lines = {
        test: {path: frozenset(numbers) for path, numbers in files.items()}
        for test, files in seen["lines"].items()
        if test not in seen["failed"]
    }
    return Reach(lines, seen["seconds"], tuple(seen["failed"]))


def trial(module: str, path: Path, tree: ast.Module, tests: list[str], limit_s: float) -> Verdict:
    """The tests in their order, up to the first that fails.

    `limit_s`: CPU seconds, so that a busy machine kills none.
    """
    began = time.perf_counter()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(writing, _VERDICT_FD)
        _try(module, path, tree, tests, limit_s)
    os.close(writing)
    with os.fdopen(reading) as told:
        killer = told.read()
    _, status = os.waitpid(child, 0)
    seconds = time.perf_counter() - began
    if os.WIFSIGNALED(status):
        return Verdict(f"signal {os.WTERMSIG(status)}", seconds)
    code = os.WEXITSTATUS(status)
    if code == pytest.ExitCode.OK:
        return Verdict(None, seconds)
    return Verdict(killer or f"pytest ended with {pytest.ExitCode(code).name}", seconds)


_VERDICT_FD = 9


def _try(module: str, path: Path, tree: ast.Module, tests: list[str], limit_s: float) -> None:
    """In the child, which ends here."""
    whole_s = int(limit_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (whole_s, whole_s))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_B, _MEMORY_B))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.meta_path.insert(0, _Finder(module, path, tree))
    failures = _Failures()
    code = 1
    try:
        with _silence():
            importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - whatever a mutant does when it is imported
        failures.first = f"import: {type(error).__name__}"
    else:
        code = _pytest(["-x", *tests], failures)
    os.write(_VERDICT_FD, failures.first.encode())
    os._exit(code)


def _pytest(arguments: list[str], plugin: object) -> int:
    with _silence():
        return int(pytest.main([*_QUIET, *arguments], plugins=[plugin]))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What pytest and the mutants print goes nowhere; on file descriptors, for those written in C."""
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stdout.flush()
        for number, old in enumerate(kept, start=1):
            os.dup2(old, number)
            os.close(old)


class _Finder:
    """Finds the mutant where its module is asked for."""

    def __init__(self, module: str, path: Path, tree: ast.Module) -> None:
        self.module, self.path, self.tree = module, path, tree

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        loader = _Loader(name, str(self.path))
        loader.tree = self.tree
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


class _Loader(SourceFileLoader):
    tree: ast.Module

    def get_code(self, fullname: str) -> types.CodeType:
        return compile(self.tree, self.get_filename(fullname), "exec", dont_inherit=True)


class _Failures:
    first = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._take(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._take(report)

    def _take(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid


class _Watch:
    """Notes which lines of the package each test runs, those of the fixtures that it shares too."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self._by_test: dict[str, set[tuple[str, int]]] = {}
        self._by_fixture: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        self._fixtures: dict[str, tuple[str, ...]] = {}
        self._now: list[set[tuple[str, int]]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def reached(self) -> dict[str, dict[str, list[int]]]:
        told: dict[str, dict[str, list[int]]] = {}
        for test, lines in self._by_test.items():
            files: defaultdict[str, list[int]] = defaultdict(list)
            for path, line in lines.union(*(self._by_fixture[name] for name in self._fixtures[test])):
                files[path].append(line)
            told[test] = files
        return told

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        lines = self._by_test[item.nodeid] = set()
        self._fixtures[item.nodeid] = tuple(getattr(item, "fixturenames", ()))
        began = time.process_time()
        self._now.append(lines)
        sys.settrace(self._enter)
        threading.settrace(self._enter)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            self._now.pop()
            self.seconds[item.nodeid] = time.process_time() - began

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef) -> Iterator[object]:
        if fixturedef.scope == "function":
            return (yield)
        self._now.append(self._by_fixture[fixturedef.argname])
        try:
            return (yield)
        finally:
            self._by_test_of_now().update(self._now.pop())

    def _by_test_of_now(self) -> set[tuple[str, int]]:
        return self._now[-2]

    def _enter(self, frame: types.FrameType, _event: str, _argument: object) -> object:
        return self._line if frame.f_code.co_filename.startswith(self.package) else None

    def _line(self, frame: types.FrameType, _event: str, _argument: object) -> object:
        self._now[-1].add((frame.f_code.co_filename, frame.f_lineno))
        return self._line
