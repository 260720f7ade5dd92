"""Whether a rule can be used: read from JSON and held against the catalogue, each fault with a pointer."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final, assert_never
from unicodedata import category

import msgspec

from domain.errors import Malformed
from domain.policies.catalogue import APPLIES_TO, ATTRIBUTES, AttributeType
from domain.policies.rule import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_RULE_BYTES,
    MAX_VALUES,
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

Fault = tuple[str, str, str]
"""A JSON pointer, a code and a sentence."""


class UnusablePolicy(Malformed):
    """Carries `errors`, a list of pointer, code and detail."""

    code = "unusable-policy"
    title = "The policy cannot be used as it is"


def read_rule(document: bytes | str) -> Rule:
    """A rule as a person wrote it. Raises `UnusablePolicy`: one fault of form, or else all that there are."""
    rule = _formed(document)
    refuse(faults_in_rule(rule))
    return rule


def rule_from(value: Any) -> Rule:
    """As `read_rule`, from JSON values that were read already."""
    try:
        document = msgspec.json.encode(value)
    except RecursionError:
        raise _unusable(("", "too-deep", _TOO_DEEP)) from None
    except UnicodeEncodeError:
        raise _unusable(("", "no-text", "Half of a surrogate pair is no text.")) from None
    return read_rule(document)


def refuse(faults: Sequence[Fault]) -> None:
    """Raises `UnusablePolicy` where there are any."""
    if faults:
        raise _unusable(*faults)


def faults_in_rule(rule: Rule) -> list[Fault]:
    """Every fault of a rule that is right in form."""
    found = [*_faults_in_words(rule), *_faults_in_scope(rule)]
    if rule.when is not None:
        found += _faults_in_condition(rule.when, "/when", 1)
        if (conditions := _count(rule.when, 1)) > MAX_CONDITIONS:
            detail = f"A rule has at most {MAX_CONDITIONS} conditions, and this one has {conditions}."
            found.append(("/when", "too-many-conditions", detail))
    return found


def _unusable(*faults: Fault) -> UnusablePolicy:
    return UnusablePolicy(
        errors=[{"pointer": pointer, "code": code, "detail": detail} for pointer, code, detail in faults]
    )


def _formed(document: bytes | str) -> Rule:
    encoded = document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document
    if len(encoded) > MAX_RULE_BYTES:
        raise _unusable(("", "too-large", f"A rule has at most {MAX_RULE_BYTES} bytes."))
    try:
        return msgspec.json.decode(encoded, type=Rule)
    except msgspec.ValidationError as error:
        pointer, detail = _placed(str(error))
        raise _unusable((pointer, "wrong-form", detail)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unusable(("", "malformed-json", f"{error}.")) from error
    except RecursionError:
        raise _unusable(("/when", "too-deep", _TOO_DEEP)) from None


_TOO_DEEP: Final = f"Conditions stand at most {MAX_DEPTH} deep in one another."
_PLACE: Final = re.compile(r"^(?P<detail>.*?)(?: - at (?:`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def _placed(message: str) -> tuple[str, str]:
    """What msgspec says, as a pointer and a sentence."""
    match = _PLACE.match(message)
    assert match is not None
    steps = ["/" + (name or index) for name, index in _STEP.findall(match["path"] or "")]
    return "".join(steps), match["detail"] + "."


_NO_TEXT: Final = "Control characters and halves of surrogate pairs are no text."


def _is_text(value: str) -> bool:
    """Whether what keeps text can keep it: PostgreSQL's jsonb refuses a NUL, UTF-8 half of a pair."""
    return all(category(each) not in {"Cc", "Cs"} for each in value)


def _faults_in_words(rule: Rule) -> Iterator[Fault]:
    for field, words in (("title", rule.title), ("description", rule.description)):
        for language in ("ko", "en"):
            if not words.get(language, "").strip():
                yield f"/{field}/{language}", "no-words", "Say it in both languages, ko and en."
            elif not _is_text(words[language].replace("\n", "")):
                yield f"/{field}/{language}", "no-text", _NO_TEXT


def _faults_in_scope(rule: Rule) -> Iterator[Fault]:
    for field, names in (("roles", rule.roles), ("actions", rule.actions), ("resources", rule.resources)):
        if names is not None and not names:
            yield f"/{field}", "empty-list", "Leave it out where any will do; an empty list never fits."
        if names is not None and len(set(names)) < len(names):
            yield f"/{field}", "named-twice", "Something is named twice."
    if rule.effect == "permit" and rule.actions is None:
        yield "/actions", "permit-without-actions", "A permit names its actions."
    if rule.actions is None or rule.resources is None:
        return
    for index, action in enumerate(rule.actions):
        if not set(APPLIES_TO[action]) & set(rule.resources):
            of = " or ".join(APPLIES_TO[action])
            yield f"/actions/{index}", "never-applies", f"{action} is done to a resource of kind {of}."


def _count(condition: Condition, depth: int) -> int:
    if depth > MAX_DEPTH:
        return 1
    match condition:
        case All() | AnyOf():
            return 1 + sum(_count(each, depth + 1) for each in condition.of)
        case Not():
            return 1 + _count(condition.of, depth + 1)
        case _:
            return 1


def _faults_in_condition(condition: Condition, here: str, depth: int) -> Iterator[Fault]:
    if depth > MAX_DEPTH:
        yield here, "too-deep", _TOO_DEEP
        return
    match condition:
        case All() | AnyOf():
            if not condition.of:
                yield f"{here}/of", "empty-list", "Name at least one condition."
            for index, each in enumerate(condition.of):
                yield from _faults_in_condition(each, f"{here}/of/{index}", depth + 1)
        case Not():
            yield from _faults_in_condition(condition.of, f"{here}/of", depth + 1)
        case Exists():
            yield from _unknown(condition.attribute, f"{here}/attribute")
        case In():
            yield from _faults_in_choice(condition, here)
        case Equal() | NotEqual() | Less() | AtMost() | Contains():
            yield from _faults_in_comparison(condition, here)
        case _:
            assert_never(condition)


def _unknown(name: str, here: str) -> Iterator[Fault]:
    if name not in ATTRIBUTES:
        alike = get_close_matches(name, ATTRIBUTES, n=1)
        hint = f" Is {alike[0]} meant?" if alike else ""
        yield here, "unknown-attribute", f"There is no attribute of this name.{hint}"


def _faults_in_choice(condition: In, here: str) -> Iterator[Fault]:
    yield from _unknown(condition.attribute, f"{here}/attribute")
    attribute = ATTRIBUTES.get(condition.attribute)
    if not 1 <= len(condition.values) <= MAX_VALUES:
        yield f"{here}/values", "number-of-values", f"Name 1 to {MAX_VALUES} values."
    if attribute is None:
        return
    if attribute.kind == "texts":
        yield f"{here}/op", "wrong-type", f"{condition.attribute} is a set: ask what it contains."
        return
    for index, value in enumerate(condition.values):
        yield from _faults_in_value(value, attribute, f"{here}/values/{index}")


def _faults_in_comparison(condition: Comparison, here: str) -> Iterator[Fault]:
    yield from _unknown(condition.attribute, f"{here}/attribute")
    attribute = ATTRIBUTES.get(condition.attribute)
    if attribute is not None and (misfit := _misfit(condition, attribute)) is not None:
        yield f"{here}/op", "wrong-type", misfit
        return
    if (condition.value is msgspec.UNSET) == (condition.other is msgspec.UNSET):
        yield here, "value-or-other", "Compare with a value, or with the other attribute: one of the two."
        return
    if not isinstance(condition.other, msgspec.UnsetType):
        yield from _unknown(condition.other, f"{here}/other")
        other = ATTRIBUTES.get(condition.other)
        if attribute is not None and other is not None and other.kind != _element(attribute):
            detail = f"{condition.other} is of type {other.kind}, and {_element(attribute)} is needed here."
            yield f"{here}/other", "wrong-type", detail
    elif attribute is not None:
        yield from _faults_in_value(condition.value, attribute, f"{here}/value")


def _misfit(condition: Comparison, attribute: AttributeType) -> str | None:
    """Why an attribute of this type cannot be compared so."""
    match condition:
        case Less() | AtMost():
            fits = attribute.kind == "integer"
        case Contains():
            fits = attribute.kind == "texts"
        case _:
            fits = attribute.kind != "texts"
    operator = condition.__struct_config__.tag
    return (
        None if fits else f"{operator} does not fit {condition.attribute}, which is of type {attribute.kind}."
    )


def _element(attribute: AttributeType) -> str:
    return "text" if attribute.kind == "texts" else attribute.kind


def _faults_in_value(value: Any | Value, attribute: AttributeType, here: str) -> Iterator[Fault]:
    wanted = _element(attribute)
    # A boolean is an integer to Python, and is none here.
    kinds = {str: "text", bool: "boolean", int: "integer"}
    if kinds.get(type(value)) != wanted:
        yield here, "wrong-type", f"A value of type {wanted} is needed here."
    elif isinstance(value, str) and attribute.values is not None and value not in attribute.values:
        alike = get_close_matches(value, attribute.values, n=1)
        hint = f"Is {alike[0]} meant?" if alike else f"It is one of {', '.join(attribute.values)}."
        yield here, "unknown-value", f"The attribute never has this value. {hint}"
    elif isinstance(value, str) and not _is_text(value):
        yield here, "no-text", _NO_TEXT
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        yield here, "too-large", f"Numbers go up to {MAX_INTEGER}."
