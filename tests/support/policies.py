"""Rules, requests, and a plain interpreter of rules: three-valued logic, from the language's words."""

from typing import Any
from unicodedata import category

import msgspec
from hypothesis import strategies as st

from domain.policies.access import AccessRequest, Context, Principal, Resource
from domain.policies.catalogue import APPLIES_TO, ATTRIBUTES
from domain.policies.policy_set import ActiveRule, PolicySet
from domain.policies.rule import Rule
from tests.support.exam_parts import uuid7

POLICY = f"policy-{uuid7(0xB0)}"
WORDS = {"ko": "규칙", "en": "A rule"}


def a_rule(**said: Any) -> dict[str, Any]:
    """A rule that can be used, as JSON values; `said` stands in its place or beside it."""
    plain = {
        "id": "a-rule",
        "title": WORDS,
        "description": WORDS,
        "effect": "permit",
        "actions": ["enter_zone"],
    }
    return {name: value for name, value in {**plain, **said}.items() if value is not None}


def rule_of(**said: Any) -> Rule:
    return msgspec.convert(a_rule(**said), Rule)


def set_of(*rules: Rule, position: int = 1) -> PolicySet:
    active = tuple(ActiveRule(f"policy-{uuid7(0xB000 + at)}", rule) for at, rule in enumerate(rules))
    return PolicySet(position=position, since=None, until=None, rules=active)


def a_request(**said: Any) -> AccessRequest:
    """A student who enters their own zone; `said` replaces attributes, by part."""
    parts = {"principal": {"id": "user-1", "roles": ["student"], "zone": "univprep"}}
    parts["resource"] = {"kind": "zone", "id": "univprep", "zone": "univprep"}
    parts["context"] = {}
    for part, attributes in said.items():
        if part in parts:
            merged = {**parts[part], **attributes}
            parts[part] = {name: value for name, value in merged.items() if value is not None}
    return msgspec.convert({**parts, "action": said.get("action", "enter_zone")}, AccessRequest)


# -- The interpreter ---------------------------------------------------------------------------------------


def decided(policy_set: PolicySet, request: AccessRequest) -> tuple[bool, tuple[str, ...]]:
    """Whether it is allowed, and the policies that decide it."""
    applying = [each for each in policy_set.rules if applies(each.rule, request)]
    forbidding = tuple(sorted(each.policy_id for each in applying if each.rule.effect == "forbid"))
    permitting = tuple(sorted(each.policy_id for each in applying if each.rule.effect == "permit"))
    return bool(permitting) and not forbidding, forbidding or permitting


def applies(rule: Rule, request: AccessRequest) -> bool:
    document = msgspec.to_builtins(rule)
    asked = msgspec.to_builtins(request)
    if rule.roles is not None and not set(rule.roles) & set(request.principal.roles):
        return False
    if rule.actions is not None and request.action not in rule.actions:
        return False
    if rule.resources is not None and request.resource.kind not in rule.resources:
        return False
    holds = truth(document["when"], asked) if "when" in document else True
    return holds is True if rule.effect == "permit" else holds is not False


def truth(condition: dict[str, Any], asked: dict[str, Any]) -> bool | None:
    """True, False, or None where it cannot be told."""
    op = condition["op"]
    if op in {"all", "any"}:
        found = [truth(each, asked) for each in condition["of"]]
        settles = op == "any"
        if settles in found:
            return settles
        return None if None in found else not settles
    if op == "not":
        inner = truth(condition["of"], asked)
        return None if inner is None else not inner
    left = looked_up(condition["attribute"], asked)
    if op == "exists":
        return left is not None
    right = condition.get("values", condition.get("value"))
    if "other" in condition:
        right = looked_up(condition["other"], asked)
    if left is None or right is None:
        return None
    tests = {
        "==": lambda: left == right,
        "!=": lambda: left != right,
        "<": lambda: left < right,
        "<=": lambda: left <= right,
        "in": lambda: left in right,
        "contains": lambda: right in left,
    }
    return bool(tests[op]())


def looked_up(name: str, asked: dict[str, Any]) -> Any:
    part, _, field = name.partition(".")
    return asked[part].get(field)


# -- Strategies: few different values, so that rules and requests meet -------------------------------------

awkward = st.text(max_size=6) | st.sampled_from(
    ['"', "\\", '") || true || ("', "\n", "\0", "한", "\U0001f600", "*"]
)
# Values that occur on both sides; attributes without a fixed list of values take any text, control
# characters excepted. A request is told what it is told.
_shared = st.sampled_from(["user-1", "organization-1", '"', "\\", "한국"])
_written = _shared | awkward.filter(lambda text: not any(category(each) in {"Cc", "Cs"} for each in text))
_texts = _shared | awkward


_numbers = st.sampled_from([0, 1, 2, 6, 7])


def values_of(name: str) -> st.SearchStrategy:
    attribute = ATTRIBUTES[name]
    if attribute.kind == "boolean":
        return st.booleans()
    if attribute.kind == "integer":
        return _numbers
    return _written if attribute.values is None else st.sampled_from(attribute.values)


def _element(name: str) -> str:
    return {"texts": "text"}.get(ATTRIBUTES[name].kind, ATTRIBUTES[name].kind)


def _leaves(name: str) -> st.SearchStrategy[dict[str, Any]]:
    kind = ATTRIBUTES[name].kind
    exists = st.just({"op": "exists", "attribute": name})
    operators = {"texts": ["contains"], "integer": ["==", "!=", "<", "<="]}.get(kind, ["==", "!="])
    alike = sorted(other for other, found in ATTRIBUTES.items() if found.kind == _element(name))
    op = st.sampled_from(operators)
    compared = st.builds(lambda op, value: {"op": op, "attribute": name, "value": value}, op, values_of(name))
    related = st.builds(
        lambda op, other: {"op": op, "attribute": name, "other": other}, op, st.sampled_from(alike)
    )
    chosen = st.lists(values_of(name), min_size=1, max_size=3).map(
        lambda values: {"op": "in", "attribute": name, "values": values}
    )
    return st.one_of(exists, compared, related, *([] if kind == "texts" else [chosen]))


conditions = st.recursive(
    st.sampled_from(sorted(ATTRIBUTES)).flatmap(_leaves),
    lambda inner: (
        st.builds(
            lambda op, of: {"op": op, "of": of},
            st.sampled_from(["all", "any"]),
            st.lists(inner, min_size=1, max_size=3),
        )
        | inner.map(lambda of: {"op": "not", "of": of})
    ),
    max_leaves=6,
)


def _some(values: list[str]) -> st.SearchStrategy:
    return st.none() | st.lists(st.sampled_from(values), min_size=1, max_size=4, unique=True)


rules = st.builds(
    rule_of,
    effect=st.sampled_from(["permit", "permit", "forbid"]),
    roles=_some(["student", "teacher", "sys_admin"]),
    actions=st.lists(st.sampled_from(sorted(APPLIES_TO)), min_size=3, max_size=9, unique=True),
    when=st.none() | conditions,
)
policy_sets = st.lists(rules, max_size=5).map(lambda found: set_of(*found))

_some_texts = st.none() | _texts
requests = st.builds(
    AccessRequest,
    principal=st.builds(
        Principal,
        id=_texts,
        roles=st.lists(st.sampled_from(["student", "teacher", "sys_admin"]), max_size=2, unique=True).map(
            tuple
        ),
        zone=st.none() | st.sampled_from(["univprep", "kzone"]),
        organizations=st.none() | st.lists(_texts, max_size=2).map(tuple),
        has_active_exam=st.none() | st.booleans(),
        subscription_status=st.sampled_from([None, "none", "active", "cancelled", "expired"]),
        email_verified=st.none() | st.booleans(),
        age_years=st.none() | _numbers,
    ),
    action=st.sampled_from(sorted(APPLIES_TO)),
    resource=st.builds(
        Resource,
        kind=st.sampled_from(["zone", "feature", "exam", "attempt", "user", "organization"]),
        id=_texts,
        zone=st.none() | st.sampled_from(["univprep", "kzone"]),
        organization=_some_texts,
        owner=_some_texts,
    ),
    context=st.builds(
        Context,
        via=st.sampled_from([None, "web", "app", "service", "operator"]),
        hour=st.none() | _numbers,
        weekday=st.none() | st.integers(1, 7),
    ),
)
