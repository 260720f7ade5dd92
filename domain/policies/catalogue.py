"""What rules may speak of: actions, kinds of resources, and attributes with their types."""

from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from domain.policies.access import Action, Context, Principal, Resource, ResourceKind

Part = Literal["principal", "resource", "context"]

Kind = Literal["text", "boolean", "integer", "texts"]
"""`texts` is a set of texts."""


class AttributeType(msgspec.Struct, frozen=True):
    """`values` are all that a text can be, where that is fixed. What is not `required` may be unknown."""

    kind: Kind
    values: tuple[str, ...] | None
    required: bool


APPLIES_TO: Final[dict[Action, tuple[ResourceKind, ...]]] = {
    "enter_zone": ("zone",),
    "use_ai_tutor": ("feature",),
    "use_premium_feature": ("feature",),
    "take_exam": ("exam",),
    "author_exam": ("exam",),
    "view_results": ("exam", "attempt"),
    "view_person": ("user",),
    "administer_organization": ("organization",),
    "export_personal_data": ("user", "organization"),
}
"""Each action, with the kinds of resources that it can be done to."""

ASKED_BY_ROUTES: Final[frozenset[Action]] = frozenset({"enter_zone", "take_exam", "view_results"})
"""What the walls themselves ask. Of all else the rules bind only those who ask `POST /access/decisions`."""


def _type_of(annotation: Any) -> tuple[Kind, tuple[str, ...] | None]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_of(inner[0])
    if origin in (Union, UnionType):
        [known] = [each for each in inner if each is not NoneType]
        return _type_of(known)
    if origin is Literal:
        return "text", inner
    if origin is tuple:
        return "texts", _type_of(inner[0])[1]
    kinds: dict[type, Kind] = {str: "text", bool: "boolean", int: "integer"}
    return kinds[annotation], None


def _attributes() -> dict[str, AttributeType]:
    parts: dict[Part, type[msgspec.Struct]] = {
        "principal": Principal,
        "resource": Resource,
        "context": Context,
    }
    found = {}
    for part, struct in parts.items():
        hints = get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            kind, values = _type_of(hints[field.name])
            found[f"{part}.{field.name}"] = AttributeType(kind, values, field.required)
    return found


ATTRIBUTES: Final = _attributes()
"""By name: `principal.zone`, `resource.kind`, `context.hour` and so on."""
