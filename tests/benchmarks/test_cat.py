"""Simulated adaptive tests against catsim and PyPI mirt, and what one live step takes; one thread."""

import os
import subprocess
import sys

import pytest

from tests.support.postgres import CHECKOUT

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)


@pytest.mark.timeout(1800)
def test_cat():
    pytest.importorskip("catsim", reason="the peers are not installed: `make bench-cat` installs them")
    # A process of its own: libraries read the number of their threads when they are loaded.
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.adaptive_tests"],
        cwd=CHECKOUT,
        env={**os.environ, **ONE_THREAD},
        check=False,
    )
    assert done.returncode == 0
