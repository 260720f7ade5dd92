"""Turns any value into something that can always be written as JSON.

A problem document is often about input that is wrong; writing it must not fail because of that input.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

_MAX_TEXT = 2_000
_UNWRITABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_INTEGER = 2**63


def printable(text: str, *, max_length: int = _MAX_TEXT) -> str:
    """`text` without control characters and lone surrogates, cut at `max_length`."""
    shown = text if len(text) <= max_length else text[: max_length - 1] + "…"
    return _UNWRITABLE.sub("\ufffd", shown)


def json_safe(value: Any) -> Any:
    """`value` with every part of it writable as JSON: unknown types become text, NaN and infinity null."""
    match value:
        case Mapping():
            return {printable(str(key)): json_safe(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [json_safe(each) for each in value]
        case None | bool() | int() | float() | str():
            return _scalar(value)
        case _:
            try:
                return json_safe(msgspec.to_builtins(value))
            except (TypeError, ValueError):
                return printable(str(value))


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        return "a number beyond 64 bits"
    return value
