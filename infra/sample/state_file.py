"""What a play has found or made so far, kept in a file, so that the next one goes on with it.

Losing the file loses no answer. Within 24 hours everything in it is found again by sending the same requests,
as the server keeps the answers to them for so long; after that a play without its file makes a new bank and
a new exam beside the old ones.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec

from infra.sample.atomic_file import replace_file


class PlayState(msgspec.Struct, kw_only=True):
    """Ids by the names that the data gives to things.

    Attributes:
        bank_id: the item bank, once it is made.
        item_ids: item ids by item code, in the order of the form, once they are imported.
        exam_id: the exam, once it is drafted.
        user_ids: the enrolled examinees' ids by their names in the data.
        handed_in: so many examinees, from the first on, have all handed in.
    """

    bank_id: str | None = None
    item_ids: dict[str, str] = {}
    exam_id: str | None = None
    user_ids: dict[str, str] = {}
    handed_in: int = 0


class StateFile:
    """A `PlayState` and its place on disk."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.digest = digest
        self.state = _load(path)

    def save(self) -> None:
        """Writes the state whole or not at all."""
        replace_file(self.path, msgspec.json.encode(self.state))

    def forget(self) -> None:
        """Starts anew: what the file names is not on this server."""
        self.state = PlayState()

    def request_key(self, step: str, body: Any) -> str:
        """The idempotency key of a step: the same whenever the same is asked, and else another."""
        return digest_of(self.digest, step, body)


def open_state(folder: Path, name: str, *parts: Any) -> StateFile:
    """The state of the work that `name` calls and `parts` define."""
    digest = digest_of(*parts)
    file_name = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:60]
    return StateFile(folder / f"{file_name}-{digest[:12]}.json", digest)


def digest_of(*parts: Any) -> str:
    """SHA-256 over anything that JSON can hold, the same in every process."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def _load(path: Path) -> PlayState:
    try:
        return msgspec.json.decode(path.read_bytes(), type=PlayState)
    except (FileNotFoundError, msgspec.DecodeError):
        return PlayState()
