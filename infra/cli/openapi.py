"""`python -m infra.cli.openapi`: writes the documents that are made from the code; the tests compare them.

`docs/openapi.json` is the OpenAPI document, `docs/problems.md` the register of problem types.
"""

import json
from collections.abc import Callable
from pathlib import Path

from infra.application import whole_document
from infra.http.problem_types import render_problem_docs
from infra.settings import project_root

REFUSING_PACKAGES = ("domain", "commands", "read_api", "infra.event_store", "infra.http")
"""Where problem types come from."""


def rendered_document() -> str:
    return json.dumps(whole_document(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def rendered_problems() -> str:
    return render_problem_docs(REFUSING_PACKAGES)


DOCUMENTS: dict[Path, Callable[[], str]] = {
    Path("docs") / "openapi.json": rendered_document,
    Path("docs") / "problems.md": rendered_problems,
}

if __name__ == "__main__":
    for path, rendered in DOCUMENTS.items():
        (project_root() / path).write_text(rendered(), encoding="utf-8")
