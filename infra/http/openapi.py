"""What FastAPI cannot say by itself in the OpenAPI document."""

from typing import Any

from fastapi import FastAPI

from infra.http.problems import Problem

_REPLACED_SCHEMAS = ("HTTPValidationError", "ValidationError")


def install_openapi(app: FastAPI) -> None:
    """Adds the schema that `problem_responses` refers to, and drops FastAPI's own error schemas."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        add_problem_schema(document)
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
