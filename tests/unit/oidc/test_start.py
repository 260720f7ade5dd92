"""What signing in with others needs is imported when somebody does."""

import subprocess
import sys

from tests.support.postgres import CHECKOUT

HEAVY = ("authlib", "webauthn", "cbor2", "httpx")


def test_a_process_starts_without_what_only_some_sign_ins_need():
    asked = f"import sys, infra.composition; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
