"""From pydantic's errors to JSON pointers that the client can follow in what it sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from infra.http.json_safe import printable

MAX_ERRORS = 50
_MAX_POINTER = 300
_NAMES_WHAT_IS_NOT_THERE = frozenset({"missing", "missing_argument"})


def field_errors(errors: Sequence[Mapping[str, Any]], body: Any) -> tuple[list[dict[str, str]], int]:
    """Members of a problem's `errors`, at most `MAX_ERRORS`, and how many were left out.

    What the client sent is never echoed: it may be a password, and it may be huge.
    """
    shown = [_field_error(each, body) for each in errors[:MAX_ERRORS]]
    return shown, max(0, len(errors) - MAX_ERRORS)


def _field_error(error: Mapping[str, Any], body: Any) -> dict[str, str]:
    place, *path = error.get("loc") or ("body",)
    if place == "body":
        path = _path_in(body, path, names_absent=error.get("type") in _NAMES_WHAT_IS_NOT_THERE)
    pointer = "#" + "".join(f"/{_escaped(part)}" for part in path)
    return {
        "in": str(place),
        "pointer": printable(pointer, max_length=_MAX_POINTER),
        "detail": printable(str(error.get("msg", "not valid")), max_length=500),
        "code": str(error.get("type", "invalid")),
    }


def _path_in(body: Any, path: Sequence[Any], *, names_absent: bool) -> list[Any]:
    """`path` less the steps that are not in the document.

    Pydantic puts the tag of a union and the name of a tried type between the steps of the path;
    a JSON pointer has no place for them.
    """
    kept: list[Any] = []
    here = body
    for index, part in enumerate(path):
        is_last = index == len(path) - 1
        if _is_in(here, part):
            here = here[part]
        elif not (is_last and names_absent):
            continue
        kept.append(part)
    return kept


def _is_in(here: Any, part: Any) -> bool:
    if isinstance(here, Mapping):
        return part in here
    return isinstance(here, list) and isinstance(part, int) and 0 <= part < len(here)


def _escaped(part: Any) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
