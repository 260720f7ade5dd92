"""Which fields of an event are personal.

`name: Personal[str]` marks a field from the first event on. The event store hands marked values to
a codec, which may encrypt them per data subject; nothing else in the domain changes when it does.
"""

import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T")


@dataclass(frozen=True)
class PersonalMarker:
    """Says that a value describes a person and can be traced to them."""


Personal = Annotated[T, PersonalMarker()]

Path: TypeAlias = tuple[str, ...]
"""Steps from an event's JSON object to a personal value; `*` means every element of a list."""


def personal_paths(event_class: type[msgspec.Struct]) -> tuple[Path, ...]:
    """The places in an event's JSON that hold personal values, nested structs included.

    Raises `TypeError` where one stands in something else than structs and lists (a dict, say).
    """
    return tuple(dict.fromkeys(_paths_in_struct(event_class, ())))


def _paths_in_struct(struct: type[msgspec.Struct], before: Path) -> Iterator[Path]:
    hints = get_type_hints(struct, include_extras=True)
    encoded_names = {field.name: field.encode_name for field in msgspec.structs.fields(struct)}
    for name, encoded_name in encoded_names.items():
        yield from _paths_in_type(hints[name], (*before, encoded_name))


def _paths_in_type(annotation: Any, here: Path) -> Iterator[Path]:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        if any(isinstance(mark, PersonalMarker) for mark in marks):
            yield here
        else:
            yield from _paths_in_type(inner, here)
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _paths_in_type(member, here)
    elif origin in (tuple, list):
        for member in get_args(annotation):
            if member is not ...:
                yield from _paths_in_type(member, (*here, "*"))
    elif isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield from _paths_in_struct(annotation, here)
    elif any(True for member in get_args(annotation) for _ in _paths_in_type(member, here)):
        raise TypeError(f"{'/'.join(here)}: personal values cannot stand in {annotation}")


def replace_at(data: dict[str, Any], path: Path, change: Callable[[Any], Any]) -> None:
    """Replaces the values at `path` in decoded JSON, in place; a path that is absent is passed over.

    A missing step is not an error: it belongs to another member of a union. None is no value.
    """
    _changed(data, path, change)


def _changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    if value is None:
        return None
    if not path:
        return change(value)
    step, rest = path[0], path[1:]
    if step == "*":
        return (
            [_changed(element, rest, change) for element in value]
            if isinstance(value, list | tuple)
            else value
        )
    if isinstance(value, dict) and step in value:
        value[step] = _changed(value[step], rest, change)
    return value
