"""Requests made from the OpenAPI document: a body that fits, and each place in it where text may stand."""

import copy
from collections.abc import Iterator
from typing import Any

UUID = "01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
Path = tuple[str | int, ...]


def json_body(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    """The example of an operation's JSON body, or one made from its schema; None where it takes none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    if "example" in content:
        return content["example"]
    for each in content.get("examples", {}).values():
        return each["value"]
    return example_of(document, content["schema"])


def bodies_with_each_member(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[Any]:
    """The body, and for each member that may be left out the body with it; nothing where it takes none."""
    body = json_body(document, operation)
    if body is None:
        return
    yield body
    schema = _resolved(document, operation["requestBody"]["content"]["application/json"]["schema"])
    for name, each in schema.get("properties", {}).items():
        if name not in body:
            yield {**body, name: example_of(document, each)}


def csv_text(operation: dict[str, Any]) -> str | None:
    """The example of a table that an operation takes; None where it takes none."""
    content = operation.get("requestBody", {}).get("content", {}).get("text/csv")
    return None if content is None else str(content["example"])


def csv_request(text: str) -> dict[str, Any]:
    """What a client sends with it."""
    return {"content": text.encode(), "headers": {"Content-Type": "text/csv"}}


def example_of(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Something that fits a schema, with every member that it names."""
    schema = _resolved(document, schema)
    if "example" in schema:
        return schema["example"]
    given = [*schema.get("examples", ()), schema.get("const"), schema.get("default"), *schema.get("enum", ())]
    for each in given:
        if each is not None:
            return each
    for each in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        if each != {"type": "null"}:
            return example_of(document, each)
    return _of_type(document, schema)


def _of_type(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    if schema.get("type") == "object":
        return {
            name: example_of(document, each)
            for name, each in schema.get("properties", _by_any_name(schema)).items()
            if name in schema.get("required", ()) or not _may_be_null(each)
        }
    if schema.get("type") == "array":
        return [example_of(document, schema["items"])] * max(1, schema.get("minItems", 1))
    return {"integer": 1, "number": 1.0, "boolean": True}.get(schema.get("type", ""), "text")


def text_places(body: Any, at: Path = ()) -> Iterator[Path]:
    """Where texts stand in a body, as values; members' names are not among them."""
    if isinstance(body, str):
        yield at
    elif isinstance(body, dict):
        for name, value in body.items():
            yield from text_places(value, (*at, name))
    elif isinstance(body, list):
        for number, value in enumerate(body):
            yield from text_places(value, (*at, number))


def with_text(body: Any, place: Path, text: str) -> Any:
    """The body with another text at a place."""
    if not place:
        return text
    changed = copy.deepcopy(body)
    holder = changed
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = text
    return changed


def _by_any_name(schema: dict[str, Any]) -> dict[str, Any]:
    """The one member that a dictionary needs, under a name that is allowed."""
    values = schema.get("additionalProperties")
    if not isinstance(values, dict) or not schema.get("minProperties"):
        return {}
    return {schema.get("propertyNames", {}).get("enum", ["name"])[0]: values}


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        schema = found
    return schema


def _may_be_null(schema: dict[str, Any]) -> bool:
    return {"type": "null"} in schema.get("anyOf", ())
