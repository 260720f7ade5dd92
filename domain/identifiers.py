"""Stream ids: `<category>-<uuid7>`, for example `attempt-0198f0a2-7b1c-7c3e-8d2f-0123456789ab`."""

import re
from typing import Literal, TypeAlias, get_args

StreamId: TypeAlias = str

Category = Literal[
    "user",
    "organization",
    "class",
    "invitation",
    "zone",
    "item_bank",
    "item",
    "exam",
    "attempt",
    "consent",
    "parent_link",
    "policy",
    "subscription",
    "observation",
    "system",
]
CATEGORIES: frozenset[str] = frozenset(get_args(Category))

UUID7_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_STREAM_ID = re.compile(rf"([a-z_]+)-({UUID7_PATTERN})")


def stream_id(category: Category, uuid7: str) -> StreamId:
    """The id of a stream; raises `ValueError` when the parts do not make one."""
    made = f"{category}-{uuid7}"
    if category_of(made) is None:
        raise ValueError(f"not a stream id: {made!r}")
    return made


def category_of(text: str) -> str | None:
    """The category that a stream id begins with, or None where `text` is no stream id."""
    match = _STREAM_ID.fullmatch(text)
    return match[1] if match is not None and match[1] in CATEGORIES else None
