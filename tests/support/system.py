"""`megacity up` in a folder of its own: started, looked at, killed and started again.

with installation() as place:
    with place.up() as running:
        httpx.get(f"{running.base_url}/healthz")
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.support.api import eventually
from tests.support.postgres import CHECKOUT, run_folder
from tests.support.processes import START_LIMIT_S, STOP_LIMIT_S, RunningSystem

MEGACITY = Path(sys.executable).parent / "megacity"


@dataclass
class Up:
    """One `megacity up`."""

    process: subprocess.Popen[bytes]
    output_file: Path
    place: "Installation"

    @property
    def output(self) -> str:
        return self.output_file.read_text(encoding="utf-8")

    @property
    def base_url(self) -> str:
        return str(self.place.address["base_url"])

    @property
    def server_pid(self) -> int:
        return int(self.place.address["pid"])

    @property
    def postgres_pid(self) -> int | None:
        return self.place.postgres.status().pid

    def wait_until_ready(self) -> None:
        """Until it answers and has said where it answers."""

        def settled() -> bool:
            told = "MegaCity answers at" in self.output
            return (told and self.place.is_ready()) or self.process.poll() is not None

        eventually(settled, within_s=START_LIMIT_S)
        assert self.process.poll() is None, self.output

    def stop(self) -> int:
        """Asks it to stop, as a service manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_LIMIT_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_LIMIT_S)


@dataclass
class Installation(RunningSystem):
    """A `var` folder, and everything that is run in it."""

    _ups: list[Up] = field(default_factory=list)

    @contextmanager
    def up(self, *words: str) -> Iterator[Up]:
        """A ready one; stopped in order when the block ends."""
        up = self.start_up(*words)
        up.wait_until_ready()
        yield up
        if up.process.poll() is None:
            up.stop()

    def start_up(self, *words: str) -> Up:
        # An address that an earlier one has left would be taken for that of the new one.
        (self.var_dir / "run" / "api.json").unlink(missing_ok=True)
        output_file = self.var_dir.parent / f"up-{len(self._ups) + 1}.log"
        with output_file.open("wb") as output:
            process = subprocess.Popen(
                [MEGACITY, "up", "--no-sample", "--port", "0", *words],
                cwd=CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._ups.append(Up(process, output_file, self))
        return self._ups[-1]

    def refused(self, *words: str) -> tuple[int, str]:
        """Exit code of a `megacity` command that is to fail, and what it says about it."""
        done = subprocess.run(
            [MEGACITY, *words],
            cwd=CHECKOUT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_LIMIT_S,
            check=False,
        )
        return done.returncode, done.stderr

    def processes(self) -> list[psutil.Process]:
        """Whatever still runs in or for this folder."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                named = " ".join(process.cmdline())
                ours = process.environ().get("MEGACITY_VAR_DIR") == str(self.var_dir)
                if (ours or str(self.var_dir) in named) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def server_log(self) -> list[dict[str, Any]]:
        text = (self.var_dir / "log" / "server.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def clear_away(self) -> None:
        """Ends everything that a test has left running."""
        for up in self._ups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(up.process.pid, signal.SIGKILL)
            up.process.wait(STOP_LIMIT_S)
        self.postgres.stop()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()


@contextmanager
def installation(**settings: str) -> Iterator[Installation]:
    """An empty folder; `settings` are more environment variables."""
    with run_folder("installation") as folder:
        var_dir = folder / "var"  # the folder itself is locked by this test run
        others = {
            name: value
            for name, value in os.environ.items()
            if name != "DATABASE_URL" and not name.startswith("MEGACITY_")
        }
        place = Installation(var_dir, {**others, "MEGACITY_VAR_DIR": str(var_dir), **settings})
        try:
            yield place
        finally:
            place.clear_away()
