"""What FastAPI cannot say by itself in the OpenAPI document."""

from typing import Any

from fastapi import FastAPI

from infra.http.access_document import document_access
from infra.http.middleware import QUIET_PATHS
from infra.http.problems import Problem
from infra.http.rate_limits import document_rate_limits

_REPLACED_SCHEMAS = ("HTTPValidationError", "ValidationError")


def install_openapi(app: FastAPI) -> None:
    """Adds the schema that `problem_responses` refers to, and drops FastAPI's own error schemas."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        add_problem_schema(document)
        take_null_out_of_parameters(document)
        say_streams_in_3_1(document)
        document_rate_limits(document, QUIET_PATHS)
        document_access(app, document)
        return document

    # FastAPI documents this assignment as the way to extend the document.
    app.openapi = openapi  # type: ignore[method-assign]


def add_problem_schema(document: dict[str, Any]) -> None:
    """Puts `Problem` into the components of an OpenAPI document, in place."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas["Problem"] = schema
    for name in _REPLACED_SCHEMAS:
        schemas.pop(name, None)
    document["components"]["schemas"] = dict(sorted(schemas.items()))


def take_null_out_of_parameters(document: dict[str, Any]) -> None:
    """A query parameter or header is there or it is not; FastAPI also says that it may be null."""
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                schema = parameter["schema"]
                kept = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
                if len(kept) == 1:
                    del schema["anyOf"]
                    parameter["schema"] = {**kept[0], **schema}


def say_streams_in_3_1(document: dict[str, Any]) -> None:
    """FastAPI describes server-sent events by `itemSchema`, which OpenAPI has from 3.2 on."""
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    if "itemSchema" in content:
                        content["schema"] = content.pop("itemSchema")
