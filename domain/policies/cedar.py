"""A rule as a policy of the Cedar language.

The same rule gives the same text, byte for byte. Cedar passes over a policy that fails while it is evaluated,
which would open a door that a forbid keeps shut: so no attribute is looked at before it was asked whether it
is there, and what follows from its absence is written into the condition (see `domain.policies.rule`).
"""

from collections.abc import Callable, Iterable
from typing import Final, assert_never

from msgspec import UnsetType

from domain.policies.catalogue import ATTRIBUTES
from domain.policies.rule import (
    All,
    AnyOf,
    AtMost,
    Comparison,
    Condition,
    Contains,
    Equal,
    Exists,
    In,
    Less,
    Not,
    NotEqual,
    Rule,
    Value,
)

PRINCIPAL: Final = "Principal"
"""The type of entity that every principal is; resources are of the type that their kind names."""


def cedar_text(policy_id: str, rule: Rule) -> str:
    """The policy, annotated with its id. The rule has been checked: see `domain.policies.checking`."""
    actions = (
        f"action in [{_listed(_entity('Action', each) for each in rule.actions)}]"
        if rule.actions
        else "action"
    )
    lines = [
        f"@id({literal(policy_id)})",
        f"@rule({literal(rule.id)})",
        f"{rule.effect} (",
        "  principal,",
        f"  {actions},",
        "  resource",
        ")",
    ]
    if rule.roles:
        lines.append(f"when {{ principal.roles.containsAny([{_listed(map(literal, rule.roles))}]) }}")
    if rule.resources:
        kinds = " || ".join(f"resource is {entity_type(kind)}" for kind in rule.resources)
        lines.append(f"when {{ {kinds} }}")
    if rule.when is not None:
        told = _surely(rule.when) if rule.effect == "permit" else _possibly(rule.when)
        lines.append(f"when {{ {told} }}")
    return "\n".join(lines) + ";\n"


def entity_type(kind: str) -> str:
    return "".join(word.capitalize() for word in kind.split("_"))


def literal(value: Value) -> str:
    """A value as Cedar writes it. What is not plain ASCII is escaped, so that no text can end the literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if " " <= character <= "~" else f"\\u{{{ord(character):x}}}"


def _entity(kind: str, name: str) -> str:
    return f"{kind}::{literal(name)}"


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _surely(condition: Condition) -> str:
    """An expression that is true where the condition holds whatever the unknown attributes are."""
    return _expressed(condition, _surely, _possibly, lambda known, test: " && ".join([*known, test]))


def _possibly(condition: Condition) -> str:
    """An expression that is true unless the condition fails whatever the unknown attributes are."""
    return _expressed(
        condition,
        _possibly,
        _surely,
        lambda known, test: " || ".join([*(f"!({each})" for each in known), test]),
    )


def _expressed(
    condition: Condition,
    same: Callable[[Condition], str],
    opposite: Callable[[Condition], str],
    guarded: Callable[[list[str], str], str],
) -> str:
    match condition:
        case All():
            return f"({' && '.join(map(same, condition.of))})"
        case AnyOf():
            return f"({' || '.join(map(same, condition.of))})"
        case Not():
            return f"!({opposite(condition.of)})"
        case Exists():
            return f"({_has(condition.attribute)})"
        case In():
            values = _listed(map(literal, condition.values))
            return f"({guarded(_known(condition.attribute), f'[{values}].contains({condition.attribute})')})"
        case Equal() | NotEqual() | Less() | AtMost() | Contains():
            names = [condition.attribute]
            if not isinstance(condition.other, UnsetType):
                names.append(condition.other)
            return f"({guarded(_known(*names), _test(condition))})"
        case _:
            assert_never(condition)


def _test(condition: Comparison) -> str:
    if isinstance(condition.other, UnsetType):
        assert not isinstance(condition.value, UnsetType)
        right = literal(condition.value)
    else:
        right = condition.other
    match condition:
        case Equal():
            return f"{condition.attribute} == {right}"
        case NotEqual():
            return f"{condition.attribute} != {right}"
        case Less():
            return f"{condition.attribute} < {right}"
        case AtMost():
            return f"{condition.attribute} <= {right}"
        case Contains():
            return f"{condition.attribute}.contains({right})"
        case _:
            assert_never(condition)


def _known(*names: str) -> list[str]:
    """What is to be asked before these attributes are looked at; nothing of those that are always there."""
    return [_has(name) for name in dict.fromkeys(names) if not ATTRIBUTES[name].required]


def _has(name: str) -> str:
    part, _, field = name.partition(".")
    return f"{part} has {field}"
