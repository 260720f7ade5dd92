"""The rules that every installation begins with, as data: `founding.json` beside this file."""

from importlib import resources

import msgspec

from domain.identifiers import StreamId
from domain.policies.checking import read_rule
from domain.policies.policy_set import ActiveRule, PolicySet


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    policy_id: StreamId
    rule: msgspec.Raw


def founding_rules() -> tuple[ActiveRule, ...]:
    """In the order of their ids."""
    document = (resources.files("infra.policies") / "founding.json").read_bytes()
    entries = msgspec.json.decode(document, type=list[_Entry])
    return tuple(ActiveRule(each.policy_id, read_rule(bytes(each.rule))) for each in entries)


def founding_set() -> PolicySet:
    """As of the beginning of the log, before anybody has changed anything."""
    return PolicySet(position=0, since=None, until=None, rules=founding_rules())
