"""One event as the log holds it, and as a line of JSON that keeps the stored bytes, which its leaf is of."""

from functools import cached_property
from typing import Any

import msgspec

from domain.events import EventMetadata
from projections.audit.actions import NoAction, action_of

_METADATA = msgspec.json.Decoder(EventMetadata)


class StoredAt(msgspec.Struct, frozen=True, dict=True):
    """A stored event and its position; None while it has none."""

    position: int | None
    stream_id: str
    version: int
    type: str
    meta: bytes
    payload: bytes
    leaf: bytes

    @property
    def type_name(self) -> str:
        """The type without its schema version."""
        return self.type.rpartition(".v")[0]

    @property
    def category(self) -> str:
        return self.type.partition(".")[0]

    @cached_property
    def metadata(self) -> EventMetadata | None:
        """None where what is stored is no metadata that this release understands."""
        try:
            metadata = _METADATA.decode(self.meta)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        # Without a zone it is no moment: it can be compared with none.
        return None if metadata.recorded_at.tzinfo is None else metadata

    @property
    def action(self) -> str | None:
        try:
            return action_of(self.type, self.version)
        except NoAction:
            return None

    def as_json(self) -> bytes:
        """One line; what is stored and is no JSON stands under `..._base64`."""
        line: dict[str, Any] = {
            "position": self.position,
            "stream_id": self.stream_id,
            "version": self.version,
            "type": self.type,
            "action": self.action,
            "leaf": self.leaf.hex(),
        }
        for name, stored in (("meta", self.meta), ("data", self.payload)):
            if _is_one_line_of_json(stored):
                line[name] = msgspec.Raw(stored)
            else:
                line[f"{name}_base64"] = stored
        return msgspec.json.encode(line)


def _is_one_line_of_json(stored: bytes) -> bool:
    if b"\n" in stored or b"\r" in stored:
        return False
    try:
        msgspec.json.decode(stored)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
