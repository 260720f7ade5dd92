"""The shim of `shim.c`, compiled; and the switches that it looks at."""

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("shim.c")


def compiled_shim(folder: Path) -> Path:
    """The shim as a shared library in this folder. Skips the test where nothing can compile it."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler to make the LD_PRELOAD shim with")
    library = folder / "shim.so"
    made = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", library, _SOURCE, "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"the LD_PRELOAD shim does not compile here: {made.stderr.strip()[-500:]}")
    return library


@dataclass(frozen=True)
class FullDisk:
    """A switch: files of one folder can no longer grow."""

    flag: Path
    folder: Path

    def fill(self, part: str = "") -> None:
        """From now on nothing below the folder, or below this part of it, grows."""
        written = self.flag.with_suffix(".new")
        written.write_text(f"{self.folder / part}/", encoding="ascii")
        written.replace(self.flag)

    def free(self) -> None:
        self.flag.unlink(missing_ok=True)


@dataclass(frozen=True)
class WallClock:
    """A switch: how many seconds the wall clock is off. Monotonic clocks stay as they are."""

    file: Path

    def jump(self, offset_s: int) -> None:
        """The clock now is off by so much, in all processes that the shim is loaded into."""
        # In place: those processes have the file mapped.
        with self.file.open("r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("<q", offset_s))
