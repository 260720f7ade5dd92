"""How each kind of stream is folded."""

from commands.streams import StreamKind
from domain.attempts import attempt
from domain.classes import school_class
from domain.exams import exam
from domain.invitations import invitation
from domain.items import bank, item
from domain.organizations import organization
from domain.parent_links import link
from domain.policies import policy
from domain.subscriptions import subscription
from domain.system import projection_control
from domain.users import account
from domain.zones import zone

USER: StreamKind[account.Account] = StreamKind("user", account.Unregistered(), account.evolve)
ORGANIZATION: StreamKind[organization.Organization] = StreamKind(
    "organization", organization.Unfounded(), organization.evolve
)
CLASS: StreamKind[school_class.SchoolClass] = StreamKind(
    "class", school_class.Unopened(), school_class.evolve
)
INVITATION: StreamKind[invitation.Invitation] = StreamKind(
    "invitation", invitation.NotInvited(), invitation.evolve
)
ITEM_BANK: StreamKind[bank.BankState] = StreamKind(
    "item_bank", bank.NoBank(), bank.evolve_bank, states=(bank.Bank,)
)
ITEM: StreamKind[item.ItemState] = StreamKind("item", item.Unwritten(), item.evolve_item)
EXAM: StreamKind[exam.Exam] = StreamKind("exam", exam.Nothing(), exam.evolve)
PARENT_LINK: StreamKind[link.Link] = StreamKind("parent_link", link.Unrequested(), link.evolve)
POLICY: StreamKind[policy.Policy] = StreamKind("policy", policy.Unproposed(), policy.evolve)
SUBSCRIPTION: StreamKind[subscription.Subscription] = StreamKind(
    "subscription", subscription.NotSubscribed(), subscription.evolve
)
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
