"""How each kind of stream is folded."""

from commands.streams import StreamKind
from domain.attempts import attempt
from domain.exams import exam
from domain.items import bank, item
from domain.organizations import organization
from domain.policies import policy
from domain.system import projection_control
from domain.users import account
from domain.zones import zone

USER: StreamKind[account.Account] = StreamKind("user", account.Unregistered(), account.evolve)
ORGANIZATION: StreamKind[organization.Organization] = StreamKind(
    "organization", organization.Unfounded(), organization.evolve
)
ITEM_BANK: StreamKind[bank.BankState] = StreamKind(
    "item_bank", bank.NoBank(), bank.evolve_bank, states=(bank.Bank,)
)
ITEM: StreamKind[item.ItemState] = StreamKind("item", item.Unwritten(), item.evolve_item)
EXAM: StreamKind[exam.Exam] = StreamKind("exam", exam.Nothing(), exam.evolve)
POLICY: StreamKind[policy.Policy] = StreamKind("policy", policy.Unproposed(), policy.evolve)
ATTEMPT: StreamKind[attempt.Attempt] = StreamKind(
    "attempt",
    attempt.NotStarted(),
    attempt.evolve,
    states=(attempt.InProgress, attempt.Submitted, attempt.Scored),
    person=attempt.examinee_of,
)
SYSTEM: StreamKind[projection_control.ControlledProjection] = StreamKind(
    "system",
    projection_control.ControlledProjection(),
    projection_control.evolve,
    states=(projection_control.ControlledProjection,),
)
ZONE: StreamKind[zone.Zone] = StreamKind("zone", zone.Unconfigured(), zone.evolve)
