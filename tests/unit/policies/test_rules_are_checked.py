"""What a rule may say, and what is said to somebody who wrote another."""

import json

import jsonschema
import msgspec
import pytest

from domain.policies.access import Context, Principal, Resource
from domain.policies.catalogue import APPLIES_TO, ATTRIBUTES
from domain.policies.checking import UnusablePolicy, read_rule
from domain.policies.rule import MAX_CONDITIONS, MAX_DEPTH, MAX_RULE_BYTES, MAX_VALUES, Rule
from tests.support.policies import a_rule

AGE = {"op": "<", "attribute": "principal.age_years", "value": 14}


def faults_of(document) -> list[tuple[str, str]]:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(UnusablePolicy) as refused:
        read_rule(text)
    return [(each["pointer"], each["code"]) for each in refused.value.errors]


def when(condition, **said):
    return a_rule(when=condition, **said)


def nested(levels: int) -> dict:
    return AGE if levels == 1 else {"op": "not", "of": nested(levels - 1)}


@pytest.mark.parametrize(
    "condition",
    [
        AGE,
        {"op": "<=", "attribute": "context.hour", "other": "context.weekday"},
        {"op": "==", "attribute": "principal.has_active_exam", "value": False},
        {"op": "!=", "attribute": "principal.zone", "other": "resource.zone"},
        {"op": "in", "attribute": "principal.subscription_status", "values": ["active", "none"]},
        {"op": "contains", "attribute": "principal.roles", "value": "teacher"},
        {"op": "contains", "attribute": "principal.organizations", "other": "resource.organization"},
        {"op": "exists", "attribute": "resource.owner"},
        {"op": "all", "of": [AGE, {"op": "any", "of": [AGE, {"op": "not", "of": AGE}]}]},
        nested(MAX_DEPTH),
        {"op": "all", "of": [AGE] * (MAX_CONDITIONS - 1)},
        {"op": "in", "attribute": "resource.id", "values": [str(each) for each in range(MAX_VALUES)]},
    ],
)
def test_each_kind_of_condition_can_be_written(condition):
    assert read_rule(json.dumps(when(condition))).when is not None


@pytest.mark.parametrize(
    ("condition", "pointer", "code"),
    [
        (
            {"op": "==", "attribute": "principal.zoen", "value": "univprep"},
            "/when/attribute",
            "unknown-attribute",
        ),
        ({"op": "exists", "attribute": "zone"}, "/when/attribute", "unknown-attribute"),
        ({"op": "in", "attribute": "x.y", "values": [1]}, "/when/attribute", "unknown-attribute"),
        (
            {"op": "==", "attribute": "principal.zone", "other": "resource.zon"},
            "/when/other",
            "unknown-attribute",
        ),
        ({"op": "==", "attribute": "principal.zone", "value": "univ"}, "/when/value", "unknown-value"),
        ({"op": "contains", "attribute": "principal.roles", "value": "boss"}, "/when/value", "unknown-value"),
        ({"op": "==", "attribute": "principal.has_active_exam", "value": 1}, "/when/value", "wrong-type"),
        ({"op": "==", "attribute": "principal.age_years", "value": True}, "/when/value", "wrong-type"),
        ({"op": "==", "attribute": "resource.id", "value": 7}, "/when/value", "wrong-type"),
        ({"op": "<", "attribute": "principal.age_years", "value": "14"}, "/when/value", "wrong-type"),
        ({"op": "<", "attribute": "resource.id", "value": 7}, "/when/op", "wrong-type"),
        ({"op": "contains", "attribute": "resource.id", "value": "x"}, "/when/op", "wrong-type"),
        ({"op": "==", "attribute": "principal.roles", "value": "student"}, "/when/op", "wrong-type"),
        ({"op": "in", "attribute": "principal.roles", "values": ["student"]}, "/when/op", "wrong-type"),
        (
            {"op": "==", "attribute": "principal.zone", "other": "principal.age_years"},
            "/when/other",
            "wrong-type",
        ),
        (
            {"op": "==", "attribute": "principal.zone", "other": "principal.roles"},
            "/when/other",
            "wrong-type",
        ),
        ({"op": "==", "attribute": "principal.zone"}, "/when", "value-or-other"),
        (
            {"op": "==", "attribute": "principal.zone", "value": "kzone", "other": "resource.zone"},
            "/when",
            "value-or-other",
        ),
        ({"op": "in", "attribute": "principal.zone", "values": []}, "/when/values", "number-of-values"),
        ({"op": "in", "attribute": "resource.id", "values": ["x"] * 101}, "/when/values", "number-of-values"),
        ({"op": "in", "attribute": "principal.zone", "values": ["kzone", 3]}, "/when/values/1", "wrong-type"),
        ({"op": "all", "of": []}, "/when/of", "empty-list"),
        (
            {"op": "any", "of": [AGE, {"op": "not", "of": {**AGE, "attribute": "a"}}]},
            None,
            "unknown-attribute",
        ),
        (nested(MAX_DEPTH + 1), "/when" + "/of" * MAX_DEPTH, "too-deep"),
        ({"op": "all", "of": [AGE] * MAX_CONDITIONS}, "/when", "too-many-conditions"),
        ({**AGE, "value": 2**60}, "/when/value", "too-large"),
        ({"op": "==", "attribute": "resource.id", "value": "a\0b"}, "/when/value", "no-text"),
        ({"op": "in", "attribute": "resource.id", "values": ["a", "\x1b[2J"]}, "/when/values/1", "no-text"),
        (
            {"op": "contains", "attribute": "principal.organizations", "value": "\x85"},
            "/when/value",
            "no-text",
        ),
        ({**AGE, "op": "<>"}, "/when/op", "wrong-form"),
        ({"op": "all", "of": [AGE, {**AGE, "value": None}]}, "/when/of/1/value", "wrong-form"),
        ({"op": "any", "of": [AGE, {**AGE, "valeu": 1}]}, "/when/of/1", "wrong-form"),
    ],
)
def test_a_fault_in_a_condition_is_pointed_at(condition, pointer, code):
    pointer = "/when/of/1/of/attribute" if pointer is None else pointer
    assert faults_of(when(condition)) == [(pointer, code)]


@pytest.mark.parametrize(
    ("said", "pointer", "code"),
    [
        ({"title": {"ko": "규칙"}}, "/title/en", "no-words"),
        ({"description": {"ko": "규칙", "en": " "}}, "/description/en", "no-words"),
        ({"title": {"ko": "규칙", "en": "Rule", "fr": "Règle"}}, "/title", "wrong-form"),
        ({"title": {"ko": "규칙", "en": "A\x1b[2Jrule"}}, "/title/en", "no-text"),
        ({"id": "A Rule"}, "/id", "wrong-form"),
        ({"effect": "allow"}, "/effect", "wrong-form"),
        ({"actions": ["enter_zones"]}, "/actions/0", "wrong-form"),
        ({"actions": []}, "/actions", "empty-list"),
        ({"actions": None}, "/actions", "permit-without-actions"),
        ({"actions": ["enter_zone", "enter_zone"]}, "/actions", "named-twice"),
        ({"roles": ["students"]}, "/roles/0", "wrong-form"),
        ({"roles": []}, "/roles", "empty-list"),
        ({"resources": ["exam"]}, "/actions/0", "never-applies"),
        ({"resources": ["exams"]}, "/resources/0", "wrong-form"),
        ({"audited": "yes"}, "/audited", "wrong-form"),
        ({"efect": "permit"}, "", "wrong-form"),
    ],
)
def test_a_fault_beside_the_condition_is_pointed_at(said, pointer, code):
    assert faults_of(a_rule(**said)) == [(pointer, code)]


def test_all_faults_of_meaning_are_told_at_once():
    condition = {"op": "all", "of": [{**AGE, "attribute": "a"}, {**AGE, "value": "b"}]}
    found = faults_of(when(condition, title={"ko": "", "en": ""}))
    assert [pointer for pointer, _ in found] == [
        "/title/ko",
        "/title/en",
        "/when/of/0/attribute",
        "/when/of/1/value",
    ]


def test_a_misspelt_name_is_answered_with_the_one_that_is_probably_meant():
    with pytest.raises(UnusablePolicy) as refused:
        read_rule(json.dumps(when({"op": "exists", "attribute": "principal.subscription_state"})))
    assert "principal.subscription_status" in refused.value.errors[0]["detail"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "malformed-json"),
        (b"{", "malformed-json"),
        (b'{"id": "\xff"}', "malformed-json"),
        (b"[]", "wrong-form"),
        (b" " * (MAX_RULE_BYTES + 1), "too-large"),
        (b'{"when":' + b'{"op":"not","of":' * 3000, "too-deep"),
        (json.dumps(a_rule(title={"ko": "\ud800", "en": "A"})).encode(), "malformed-json"),
    ],
)
def test_what_is_no_rule_at_all_is_refused(document, code):
    assert [found for _, found in faults_of(document)] == [code]


def test_text_with_half_a_surrogate_pair_is_refused():
    with pytest.raises(UnusablePolicy):
        read_rule('{"id": "\ud800"}')


def test_the_schema_takes_what_is_taken_and_refuses_another_form():
    validator = jsonschema.Draft202012Validator(msgspec.json.schema(Rule))
    assert validator.is_valid(when({"op": "all", "of": [AGE]}))
    assert not validator.is_valid(when({"op": "all", "of": [{**AGE, "op": "<>"}]}))
    assert not validator.is_valid(a_rule(actions=["enter_zones"]))


def test_attributes_are_the_fields_of_a_request():
    fields = {
        f"{part}.{field.name}"
        for part, struct in (("principal", Principal), ("resource", Resource), ("context", Context))
        for field in msgspec.structs.fields(struct)
    }
    assert set(ATTRIBUTES) == fields
    assert ATTRIBUTES["principal.roles"].kind == "texts"
    assert ATTRIBUTES["principal.roles"].required
    assert "univprep" in ATTRIBUTES["resource.zone"].values
    assert not ATTRIBUTES["resource.zone"].required


def test_every_action_is_done_to_some_kind_of_resource():
    assert all(APPLIES_TO.values())
    kinds = ATTRIBUTES["resource.kind"].values
    assert {kind for found in APPLIES_TO.values() for kind in found} == set(kinds)
