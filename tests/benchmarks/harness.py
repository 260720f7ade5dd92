"""What all benchmarks share: servers with fsync on and off, paired rounds, and the report.

    def test_append():
        report = Report("append")
        for fsync in (True, False):
            with bench_server(fsync=fsync) as server:
                found = paired({"ours": ours, "library": library})     # events/s, one figure a round
                report.ratio(named("vs_library", fsync=fsync), found["ours"], found["library"])
        report.write()

A ratio is taken within each round, where both sides met the same machine in the same mood. What is
reported is the median over the rounds, with the smallest and the largest. Absolute figures are printed
for orientation: they travel to no other machine.
"""

import gc
import json
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import Any
from unittest.mock import patch

import psycopg
from rich.console import Console
from rich.table import Table

from infra.postgres import embedded
from infra.postgres.embedded import EmbeddedPostgres
from tests.support.postgres import CHECKOUT, SharedServer, fresh_database, run_folder

BENCH_DIR = CHECKOUT / "var" / "bench"
ROUNDS = max(1, int(os.environ.get("MEGACITY_BENCH_ROUNDS", "5")))
# Shrinks every workload, to try a benchmark out: 0.01 is a smoke test, its figures mean nothing.
SCALE = float(os.environ.get("MEGACITY_BENCH_SCALE", "1"))

WAL_FILES = 128

_CONSOLE = Console(width=110)


def scaled(count: int) -> int:
    """A number of events or of rounds of work, shrunk by `MEGACITY_BENCH_SCALE`."""
    return max(1, round(count * SCALE))


def named(name: str, *, fsync: bool) -> str:
    """Figures with fsync on bear the plain name."""
    return name if fsync else f"{name}_nosync"


@contextmanager
def bench_server(*, fsync: bool = True, **settings: str) -> Iterator[SharedServer]:
    """A PostgreSQL of its own; `settings` are more of postgresql.conf."""
    # Nobody may switch fsync off in a server of ours but the benchmark that says so in its report.
    fixed = {**embedded._FIXED, "fsync": "on" if fsync else "off"}
    with run_folder("bench") as folder, patch.object(embedded, "_FIXED", fixed):
        server = EmbeddedPostgres(
            folder / "data",
            folder / "secrets",
            log_file=folder / "postgres.log",
            settings={"max_wal_size": "4GB", "min_wal_size": "2GB", **settings},
        )
        with server:
            with psycopg.connect(server.superuser_conninfo(), autocommit=True) as connection:
                assert connection.execute("SHOW fsync").fetchone() == ("on" if fsync else "off",)
                _run_in(connection)
            yield SharedServer(server)


def _run_in(connection: psycopg.Connection[Any]) -> None:
    """Log files as a server has that has been at work: a checkpoint leaves those it needs no more for later.

    A new server makes each file of 16 MB when it comes to it, zeros first, and all who commit wait for that.
    """
    for _ in range(WAL_FILES):
        connection.execute("SELECT pg_logical_emit_message(false, 'run in', ''), pg_switch_wal()")
    connection.execute("CHECKPOINT")


def checkpoint(conninfo: str) -> None:
    """What one run left to be written is not the next one's business. `conninfo`: the administrator's."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


@contextmanager
def bench_database(server: SharedServer) -> Iterator[str]:
    """The administrator's conninfo of a fresh, migrated database."""
    with fresh_database(server) as conninfo:
        yield conninfo


def paired(
    contestants: Mapping[str, Callable[[], float]],
    *,
    rounds: int = ROUNDS,
    warm_up: bool = True,
    before: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Runs each contestant once a round, in an order that turns; what each answered, round by round.

    `before` is called before each run, outside of what is timed.
    """
    names = list(contestants)
    if warm_up:
        for name in names:
            contestants[name]()
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            before()
            found[name].append(contestants[name]())
            _CONSOLE.print(
                f"  round {number + 1}/{rounds}  {name:<24} {found[name][-1]:>14,.2f}", style="dim"
            )
    return found


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    """Appends the seconds that the block took."""
    started = perf_counter()
    yield
    into.append(perf_counter() - started)


class Report:
    """Collects ratios and figures; `write` prints them and leaves `var/bench/NAME.json`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ratios: dict[str, list[float]] = {}
        self._aims: dict[str, str] = {}
        self._figures: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, list[float]] = {}

    def ratio(self, name: str, ours: Sequence[float], theirs: Sequence[float], *, aim: str = "") -> None:
        """One ratio for each round: ours over theirs."""
        self._ratios[name] = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        self._aims[name] = aim
        self._runs[f"{name}: ours"] = list(ours)
        self._runs[f"{name}: theirs"] = list(theirs)

    def figure(self, name: str, values: Sequence[float], unit: str) -> None:
        """An absolute, for orientation."""
        self._figures[name] = {
            "median": statistics.median(values),
            "min": min(values),
            "max": max(values),
            "unit": unit,
        }
        self._runs[name] = list(values)

    def write(self) -> None:
        BENCH_DIR.mkdir(parents=True, exist_ok=True)
        content = {
            "name": self.name,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
            "rounds": ROUNDS,
            "scale": SCALE,
            "ratios": {name: statistics.median(values) for name, values in self._ratios.items()},
            "spread": {name: [min(values), max(values)] for name, values in self._ratios.items()},
            "aims": self._aims,
            "figures": self._figures,
            "runs": self._runs,
        }
        target = BENCH_DIR / f"{self.name}.json"
        target.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        self._print()

    def _print(self) -> None:
        table = Table(title=f"{self.name}: ratios (median of {ROUNDS} paired rounds)", title_justify="left")
        for column in ("ratio", "median", "smallest", "largest", "aim"):
            table.add_column(column, justify="left" if column == "ratio" else "right")
        for name, values in self._ratios.items():
            table.add_row(
                name,
                f"{statistics.median(values):.2f}",
                f"{min(values):.2f}",
                f"{max(values):.2f}",
                self._aims[name],
            )
        _CONSOLE.print(table)
        if self._figures:
            figures = Table(title=f"{self.name}: figures of this machine, today", title_justify="left")
            for column in ("figure", "median", "smallest", "largest", "unit"):
                figures.add_column(column, justify="left" if column in {"figure", "unit"} else "right")
            for name, figure in self._figures.items():
                figures.add_row(
                    name, *(f"{figure[key]:,.2f}" for key in ("median", "min", "max")), figure["unit"]
                )
            _CONSOLE.print(figures)
