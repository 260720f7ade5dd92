"""Calibration of 5,000 x 100 responses against PyPI mirt and girth; one thread."""

import os
import subprocess
import sys

import pytest

from tests.support.postgres import CHECKOUT

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"),
    "1",
)


@pytest.mark.timeout(3600)
def test_calibrate():
    pytest.importorskip("girth", reason="the peers are not installed: `make bench-calibrate` installs them")
    # A process of its own: libraries read the number of their threads when they are loaded.
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.calibrating"],
        cwd=CHECKOUT,
        env={**os.environ, **ONE_THREAD},
        check=False,
    )
    assert done.returncode == 0
