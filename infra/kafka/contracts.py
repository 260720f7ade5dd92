"""What consumers may rely on: a JSON Schema of the value of every type of event, made from the event's class.

The schemas lie in docs/contracts/events, one a stored type. A version that is out in the world may only gain:
see `broken_promises`. Anything else is a new version of the type, with an upcaster and a schema of its own,
and the schema of the old version stays for good.
"""

from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from typing import Any, Final, TypeAlias

import msgspec

from domain.events import Event, EventMetadata
from infra.kafka.relayed import value_is

Schema: TypeAlias = dict[str, Any]

_REFERENCES: Final = "#/$defs/{name}"
# What says something to a reader and nothing about the values; the discriminator repeats the union.
_REMARKS: Final = {"title", "description", "default", "$defs", "$ref", "discriminator", "x-personal"}


def contracts(classes: Iterable[type[Event]]) -> dict[str, Schema]:
    """The schema of what the relay publishes today, by stored type name."""
    return {cls.type_.stored_name: contract(cls) for cls in classes}


def contract(cls: type[Event]) -> Schema:
    (meta, data), definitions = msgspec.json.schema_components([EventMetadata, cls], ref_template=_REFERENCES)
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
    about: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:megacity:event:{cls.type_.stored_name}",
        "title": cls.type_.stored_name,
    }
    if cls.type_.personal:
        about["x-personal"] = ["/".join(("data", *path)) for path in cls.type_.personal]
    return {**about, **value_is(meta, data), "$defs": definitions}


def broken_promises(before: Schema, now: Schema) -> list[str]:
    """What a consumer who was given `before` would stumble over in `now`, or in events stored before.

    Free to come are properties that are not required, values of an enumeration, and kinds of a tagged
    union. Everything else must stay: each property with its type, what is required and what is not.
    """
    return list(_differences(_Side(before), _Side(now), "value"))


class _Side:
    """A schema, or a part of one, with the definitions that it refers to."""

    def __init__(self, document: Schema, part: Mapping[str, Any] | None = None) -> None:
        self._document = document
        schema: Mapping[str, Any] = document if part is None else part
        while (reference := schema.get("$ref")) is not None:
            schema = document["$defs"][reference.rpartition("/")[2]]
        self.schema = schema

    def part(self, part: Mapping[str, Any]) -> "_Side":
        return _Side(self._document, part)

    def members(self) -> dict[str, "_Side"]:
        """Of a union, by what tells them apart."""
        found = {}
        for each in map(self.part, self.schema["anyOf"]):
            found.update(each.members() if "anyOf" in each.schema else {each.name(): each})
        return found

    def name(self) -> str:
        tag = self.schema.get("properties", {}).get("kind", {}).get("enum")
        return f"kind {tag[0]}" if tag else str(self.schema.get("type", "one of a list"))


def _differences(before: _Side, now: _Side, where: str) -> Iterator[str]:
    if "anyOf" in before.schema or "anyOf" in now.schema:
        yield from _union_differences(before, now, where)
        return
    yield from _object_differences(before, now, where)
    lost = [each for each in before.schema.get("enum", ()) if each not in now.schema.get("enum", (each,))]
    if lost:
        yield f"{where} can no longer be {', '.join(map(str, lost))}"
    for inner in ("items", "additionalProperties"):
        pair = before.schema.get(inner), now.schema.get(inner)
        if isinstance(pair[0], dict) and isinstance(pair[1], dict):
            yield from _differences(before.part(pair[0]), now.part(pair[1]), f"{where}/*")
        elif pair[0] != pair[1]:
            yield f"{where} has other elements"
    handled = {"properties", "required", "enum", "items", "additionalProperties", *_REMARKS}
    for name in sorted((before.schema.keys() | now.schema.keys()) - handled):
        if name == "$id" or before.schema.get(name) == now.schema.get(name):
            continue
        yield f"{where} has another {name}: {before.schema.get(name)!r} was, {now.schema.get(name)!r} is"


def _union_differences(before: _Side, now: _Side, where: str) -> Iterator[str]:
    if "anyOf" not in before.schema or "anyOf" not in now.schema:
        yield f"{where} was {'one of several' if 'anyOf' in before.schema else before.name()} and is not now"
        return
    old, new = before.members(), now.members()
    for name, member in old.items():
        if name in new:
            yield from _differences(member, new[name], where)
        else:
            yield f"{where} can no longer be {name}"
    for name in new.keys() - old.keys():
        if not name.startswith("kind "):
            yield f"{where} can be {name} now"


def _object_differences(before: _Side, now: _Side, where: str) -> Iterator[str]:
    old, new = before.schema.get("properties", {}), now.schema.get("properties", {})
    for name, schema in old.items():
        if name in new:
            yield from _differences(before.part(schema), now.part(new[name]), f"{where}/{name}")
        else:
            yield f"{where}/{name} is gone"
    was, is_now = set(before.schema.get("required", ())), set(now.schema.get("required", ()))
    for name in sorted(is_now - was):
        yield f"{where}/{name} is required now, and events stored before may lack it"
    for name in sorted((was - is_now) & new.keys()):
        yield f"{where}/{name} may be absent now"
