"""The rule that a person writes: who may, or may not, do what to which resources, and when.

A rule applies where all that it names fits: one of the principal's roles, the action, the kind of the
resource, and the condition; what it leaves out fits always. An attribute of a request may be unknown. What
cannot be told then counts against access: a permit applies only where its condition surely holds, and a
forbid applies unless its condition surely does not. `exists` asks whether an attribute is known.
"""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from domain.policies.access import Action, ResourceKind
from domain.zones import Role

MAX_DEPTH = 8
MAX_CONDITIONS = 100
MAX_VALUES = 100
MAX_RULE_BYTES = 64 * 1024
MAX_INTEGER = 2**53 - 1
"""Up to which every reader of JSON agrees on a number."""

Value: TypeAlias = str | bool | int
AttributeName = Annotated[
    str, msgspec.Meta(max_length=100, description="`principal.…`, `resource.…` or `context.…`")
]


class _Condition(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True):
    pass


class _Comparison(_Condition, frozen=True, omit_defaults=True, kw_only=True):
    """An attribute against a `value`, or against the `other` attribute: one of the two."""

    attribute: AttributeName
    value: Value | UnsetType = UNSET
    other: AttributeName | UnsetType = UNSET


class Equal(_Comparison, frozen=True, kw_only=True, tag="=="):
    """Both are the same."""


class NotEqual(_Comparison, frozen=True, kw_only=True, tag="!="):
    """They differ."""


class Less(_Comparison, frozen=True, kw_only=True, tag="<"):
    """The attribute, a number, is smaller."""


class AtMost(_Comparison, frozen=True, kw_only=True, tag="<="):
    """The attribute, a number, is smaller or the same."""


class Contains(_Comparison, frozen=True, kw_only=True, tag="contains"):
    """The attribute, a set, has it."""


class In(_Condition, frozen=True, kw_only=True, tag="in"):
    """The attribute is one of the values."""

    attribute: AttributeName
    values: tuple[Value, ...]


class Exists(_Condition, frozen=True, kw_only=True, tag="exists"):
    """The attribute is known."""

    attribute: AttributeName


class All(_Condition, frozen=True, kw_only=True, tag="all"):
    """Each of them holds."""

    of: tuple["Condition", ...]


class AnyOf(_Condition, frozen=True, kw_only=True, tag="any"):
    """At least one of them holds."""

    of: tuple["Condition", ...]


class Not(_Condition, frozen=True, kw_only=True, tag="not"):
    """It does not hold."""

    of: "Condition"


Comparison: TypeAlias = Equal | NotEqual | Less | AtMost | Contains
Condition: TypeAlias = Equal | NotEqual | Less | AtMost | Contains | In | Exists | All | AnyOf | Not

Effect = Literal["permit", "forbid"]
Words = dict[Literal["ko", "en"], Annotated[str, msgspec.Meta(max_length=2000)]]


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a policy says.

    Attributes:
        id: its name among people, in lower case with hyphens.
        title: in Korean and English.
        description: why there is such a rule, in Korean and English.
        effect: `forbid` overrides `permit`; what nothing permits is denied.
        roles: of which the principal has one; any, where absent.
        actions: any, where absent. A permit names them.
        resources: the kinds; any, where absent.
        when: the condition; always, where absent.
        audited: what is decided by this rule is recorded as the use of a special right.
    """

    id: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
    title: Words
    description: Words
    effect: Effect
    roles: tuple[Role, ...] | None = None
    actions: tuple[Action, ...] | None = None
    resources: tuple[ResourceKind, ...] | None = None
    when: Condition | None = None
    audited: bool = False


def canonical(rule: Rule) -> str:
    """The rule as JSON, the same for the same rule: this is what is stored, hashed and compared."""
    return msgspec.json.encode(rule, order="sorted").decode()


def parse(text: str) -> Rule:
    """A rule that was stored with `canonical`."""
    return msgspec.json.decode(text, type=Rule)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def attributes_of(rule: Rule) -> frozenset[str]:
    """The names of all attributes that its condition speaks of."""
    return frozenset() if rule.when is None else frozenset(_spoken_of(rule.when))


def _spoken_of(condition: Condition) -> Iterator[str]:
    match condition:
        case All() | AnyOf():
            for each in condition.of:
                yield from _spoken_of(each)
        case Not():
            yield from _spoken_of(condition.of)
        case In() | Exists():
            yield condition.attribute
        case Equal() | NotEqual() | Less() | AtMost() | Contains():
            yield condition.attribute
            if not isinstance(condition.other, UnsetType):
                yield condition.other
        case _:
            assert_never(condition)


def covers(wide: Rule, narrow: Rule) -> bool:
    """Whether `wide` surely applies wherever `narrow` does: by the form of both, so it may miss some."""
    return (
        (wide.when is None or wide.when == narrow.when)
        and _all_of(narrow.roles, wide.roles)
        and _all_of(narrow.actions, wide.actions)
        and _all_of(narrow.resources, wide.resources)
    )


def _all_of(narrow: tuple[str, ...] | None, wide: tuple[str, ...] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))
