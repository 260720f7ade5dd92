"""`python -m infra.cli.contracts`: writes the JSON Schemas of the events anew; the tests compare them.

A schema that breaks what an earlier one promised is not written: the event needs a new version instead.
"""

import json
import sys
from pathlib import Path

from domain.event_types import EVENTS
from infra.kafka.contracts import Schema, broken_promises, contracts
from infra.settings import project_root

FOLDER = Path("docs") / "contracts" / "events"


def rendered(schema: Schema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path, schemas: dict[str, Schema]) -> list[str]:
    """Writes those that keep their promises; says of the others what they break."""
    folder.mkdir(parents=True, exist_ok=True)
    broken = []
    for name, schema in schemas.items():
        path = folder / f"{name}.json"
        promised = json.loads(path.read_text(encoding="utf-8")) if path.exists() else schema
        if found := broken_promises(promised, schema):
            broken += [f"{name}: {each}" for each in found]
        else:
            path.write_text(rendered(schema), encoding="utf-8")
    return broken


if __name__ == "__main__":
    refused = write(project_root() / FOLDER, contracts(EVENTS))
    for sentence in refused:
        print(sentence, file=sys.stderr)
    if refused:
        sys.exit("Give these events a new version and an upcaster: see docs/decisions/0022")
