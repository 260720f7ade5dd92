"""`python -m infra.cli.openapi`: writes the OpenAPI document that the tests compare with."""

import json
from pathlib import Path

from infra.composition import whole_document
from infra.settings import project_root

SNAPSHOT = Path("docs") / "openapi.json"


def rendered_document() -> str:
    return json.dumps(whole_document(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    (project_root() / SNAPSHOT).write_text(rendered_document(), encoding="utf-8")
