"""Hypothesis strategies for every event type, and for what events are made of."""

from datetime import UTC, datetime
from functools import reduce
from operator import or_
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from domain.attempts.events import (
    AbilityUpdated,
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ItemPresented,
    ResponseChanged,
    ResponseGiven,
    ScoredAbility,
    ScoredItem,
    SubmittedBy,
)
from domain.classes.events import (
    ClassClosed,
    ClassOpened,
    ClassRenamed,
    StudentEnrolled,
    StudentWithdrawn,
    TeacherAssigned,
    TeacherWithdrawn,
)
from domain.events import Actor, Event, EventMetadata, RecordedEvent
from domain.exams.adaptive import AdaptiveRules, Pool
from domain.exams.events import (
    Audience,
    Blueprint,
    ExamClosed,
    ExamDrafted,
    ExamPublished,
    FormItem,
    ReleaseRule,
    ResultsReleased,
)
from domain.identifiers import stream_id
from domain.invitations.events import (
    InvitationAccepted,
    InvitationExpired,
    InvitationRevoked,
    MemberInvited,
)
from domain.items.content import (
    ChoiceKey,
    ItemParameters,
    MultipleChoice,
    MultipleResponse,
    Numeric,
    NumericKey,
    Option,
    ShortText,
    TextKey,
)
from domain.items.events import (
    BankCalibrated,
    CalibrationRulesSet,
    DriftFound,
    ItemBankCreated,
    ItemCreated,
    ItemRevised,
    ParametersPromoted,
)
from domain.items.responses import ChosenOptions, GivenNumber, GivenText
from domain.languages import LANGUAGES
from domain.organizations.events import OrganizationFounded, OrganizationRenamed, ServiceClientAdded
from domain.parent_links.events import (
    LinkApproved,
    LinkExpired,
    LinkRejected,
    LinkRequested,
    LinkRevoked,
)
from domain.policies.decisions import AccessCounted, AccessDecided
from domain.policies.events import (
    PolicyActivated,
    PolicyApproved,
    PolicyProposed,
    PolicySimulated,
    PolicySuperseded,
    PolicyValidated,
    PolicyWithdrawn,
)
from domain.subscriptions.events import (
    PLAN_PATTERN,
    Source,
    SubscriptionCancelled,
    SubscriptionExpired,
    SubscriptionRenewed,
    SubscriptionStarted,
)
from domain.system.events import (
    PoisonEventRetried,
    PoisonEventSetAside,
    PoisonEventSkipped,
    ProjectionPaused,
    ProjectionRebuilt,
    ProjectionResumed,
)
from domain.users.events import (
    EmailVerified,
    IdentityLinked,
    IdentityUnlinked,
    PasskeyRegistered,
    PasskeyRemoved,
    PasswordChanged,
    ProfileChanged,
    RoleConfirmed,
    RoleGranted,
    RoleLapsed,
    UserDeactivated,
    UserRegistered,
)
from domain.zones import ZONES, Role
from domain.zones.definitions import DEFINITIONS
from domain.zones.events import (
    PrerequisiteAttested,
    ZoneActivated,
    ZoneConfigured,
    ZoneDeactivated,
)
from tests.support.exam_parts import uuid7

uuids = st.integers(0, 2**48 - 1).map(uuid7)
texts = st.text(max_size=20)
counts = st.integers(0, 2**53)
times = st.datetimes(timezones=st.just(UTC))
numbers = st.floats(allow_nan=False, allow_infinity=False)
languages = st.sampled_from(LANGUAGES)
localized = st.dictionaries(languages, texts, max_size=4)
zones = st.sampled_from(ZONES)
roles = st.sampled_from(get_args(Role))


def ids(category: str) -> st.SearchStrategy[str]:
    return uuids.map(lambda uuid: stream_id(category, uuid))


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


def tuples_of(strategy: st.SearchStrategy, max_size: int = 4) -> st.SearchStrategy[tuple]:
    return st.lists(strategy, max_size=max_size).map(tuple)


_PLAIN: dict[Any, st.SearchStrategy] = {
    str: texts,
    int: counts,
    float: numbers,
    bool: st.booleans(),
    datetime: times,
    NoneType: st.none(),
}


def of_type(annotation: Any) -> st.SearchStrategy:
    """Values of an annotated field, for what has no rules of its own: any text does where text is meant."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, UnionType):
        return reduce(or_, map(of_type, inner))
    if origin is tuple and inner[-1] is Ellipsis:
        return tuples_of(of_type(inner[0]))
    if origin is tuple:
        return st.tuples(*map(of_type, inner))
    return any_of(annotation)


def any_of(cls: type[msgspec.Struct]) -> st.SearchStrategy:
    """Any instance of a struct, and of whatever it is made of."""
    return st.deferred(
        lambda: st.builds(cls, **{name: of_type(get_type_hints(cls)[name]) for name in cls.__struct_fields__})
    )


digits = st.text("0123456789", min_size=1, max_size=30)
decimals = st.builds(
    lambda sign, whole, places: f"{sign}{whole}{'' if places is None else '.' + places}",
    st.sampled_from(["", "+", "-"]),
    digits,
    maybe(digits),
)
responses = (
    st.builds(ChosenOptions, tuples_of(texts))
    | st.builds(GivenNumber, decimals | texts)
    | st.builds(GivenText, texts)
)

_common = {
    "content_area": texts,
    "stem": localized,
    "points": counts,
    "explanation": maybe(localized),
    "irt": maybe(st.builds(ItemParameters, numbers, numbers, numbers, numbers)),
}
_options = {
    "options": tuples_of(st.builds(Option, texts, localized)),
    "key": st.builds(ChoiceKey, tuples_of(texts)),
}
contents = st.one_of(
    st.builds(MultipleChoice, **_common, **_options),
    st.builds(MultipleResponse, **_common, **_options),
    st.builds(Numeric, **_common, key=st.builds(NumericKey, texts, texts)),
    st.builds(ShortText, **_common, key=st.builds(TextKey, tuples_of(texts), st.booleans())),
)
blueprints = st.builds(
    Blueprint,
    title=localized,
    items=tuples_of(st.builds(FormItem, ids("item"), counts)),
    description=localized,
    time_limit_s=maybe(counts),
    opens_at=maybe(times),
    closes_at=maybe(times),
    attempts_allowed=counts,
    release=st.sampled_from(get_args(ReleaseRule)),
    audience=st.sampled_from(get_args(Audience)),
    adaptive=maybe(any_of(AdaptiveRules)),
    pool=maybe(any_of(Pool)),
)
_response = {
    "examinee_id": ids("user"),
    "exam_id": ids("exam"),
    "item_id": ids("item"),
    "item_version": counts,
    "response": maybe(responses),
    "sequence": counts,
}
scored_items = st.builds(
    ScoredItem,
    item_id=ids("item"),
    item_version=counts,
    response=maybe(responses),
    score=counts,
    max_score=counts,
)

_paid = {
    "user_id": ids("user"),
    "occurred_at": times,
    "source": st.sampled_from(get_args(Source)),
    "payment_event_id": maybe(texts),
    "plan": st.from_regex(PLAN_PATTERN, fullmatch=True),
    "paid_until": times,
    "payment_ref": maybe(texts),
}

EVENTS_BY_CLASS: dict[type[Event], st.SearchStrategy[Event]] = {
    AttemptStarted: st.builds(
        AttemptStarted,
        exam_id=ids("exam"),
        examinee_id=ids("user"),
        ordinal=counts,
        started_at=times,
        deadline=maybe(times),
        grace_s=numbers,
    ),
    ResponseGiven: st.builds(ResponseGiven, **_response),
    ResponseChanged: st.builds(ResponseChanged, **_response),
    AttemptSubmitted: st.builds(
        AttemptSubmitted,
        exam_id=ids("exam"),
        examinee_id=ids("user"),
        by=st.sampled_from(get_args(SubmittedBy)),
    ),
    AttemptScored: st.builds(
        AttemptScored,
        exam_id=ids("exam"),
        examinee_id=ids("user"),
        ordinal=counts,
        items=tuples_of(scored_items),
        score=counts,
        max_score=counts,
        scoring_version=counts,
        ability=maybe(any_of(ScoredAbility)),
    ),
    ItemPresented: any_of(ItemPresented),
    AbilityUpdated: any_of(AbilityUpdated),
    ExamDrafted: st.builds(ExamDrafted, blueprint=blueprints),
    ExamPublished: st.builds(ExamPublished, blueprint=blueprints),
    ExamClosed: st.builds(ExamClosed, reason=st.sampled_from(["teacher", "window_ended"])),
    ResultsReleased: st.builds(ResultsReleased),
    BankCalibrated: any_of(BankCalibrated),
    DriftFound: any_of(DriftFound),
    ParametersPromoted: any_of(ParametersPromoted),
    CalibrationRulesSet: any_of(CalibrationRulesSet),
    ItemBankCreated: st.builds(ItemBankCreated, name=texts, description=texts),
    ItemCreated: st.builds(ItemCreated, bank_id=ids("item_bank"), code=texts, content=contents),
    ItemRevised: st.builds(
        ItemRevised, bank_id=ids("item_bank"), code=texts, item_version=counts, content=contents
    ),
    OrganizationFounded: st.builds(OrganizationFounded, name=texts, zone_id=zones),
    OrganizationRenamed: any_of(OrganizationRenamed),
    ServiceClientAdded: st.builds(
        ServiceClientAdded, client_id=texts, name=texts, credential_id=uuids, roles=tuples_of(roles)
    ),
    UserRegistered: st.builds(
        UserRegistered,
        origin=st.sampled_from(["self", "organization", "bootstrap"]),
        zone_id=zones,
        display_name=texts,
        language=languages,
        email=maybe(texts),
        email_hash=maybe(texts),
        credential_id=maybe(uuids),
        org_id=maybe(ids("organization")),
        external_ref=maybe(texts),
        country=maybe(texts),
        birth_date=maybe(texts),
    ),
    ProfileChanged: st.builds(ProfileChanged, display_name=texts, language=languages),
    EmailVerified: any_of(EmailVerified),
    IdentityLinked: any_of(IdentityLinked),
    IdentityUnlinked: any_of(IdentityUnlinked),
    PasskeyRegistered: any_of(PasskeyRegistered),
    PasskeyRemoved: any_of(PasskeyRemoved),
    PasswordChanged: any_of(PasswordChanged),
    UserDeactivated: any_of(UserDeactivated),
    RoleConfirmed: any_of(RoleConfirmed),
    RoleGranted: st.builds(
        RoleGranted, role=roles, org_id=maybe(ids("organization")), granted_at=maybe(times)
    ),
    RoleLapsed: any_of(RoleLapsed),
    LinkApproved: any_of(LinkApproved),
    LinkExpired: any_of(LinkExpired),
    LinkRejected: any_of(LinkRejected),
    LinkRequested: any_of(LinkRequested),
    LinkRevoked: any_of(LinkRevoked),
    AccessCounted: any_of(AccessCounted),
    AccessDecided: any_of(AccessDecided),
    PolicyActivated: any_of(PolicyActivated),
    PolicyApproved: any_of(PolicyApproved),
    PolicyProposed: any_of(PolicyProposed),
    PolicySimulated: any_of(PolicySimulated),
    PolicySuperseded: any_of(PolicySuperseded),
    PolicyValidated: any_of(PolicyValidated),
    PolicyWithdrawn: any_of(PolicyWithdrawn),
    ClassOpened: any_of(ClassOpened),
    ClassRenamed: any_of(ClassRenamed),
    ClassClosed: any_of(ClassClosed),
    TeacherAssigned: any_of(TeacherAssigned),
    TeacherWithdrawn: any_of(TeacherWithdrawn),
    StudentEnrolled: any_of(StudentEnrolled),
    StudentWithdrawn: any_of(StudentWithdrawn),
    MemberInvited: any_of(MemberInvited),
    InvitationAccepted: any_of(InvitationAccepted),
    InvitationRevoked: any_of(InvitationRevoked),
    InvitationExpired: any_of(InvitationExpired),
    ProjectionPaused: st.builds(ProjectionPaused, projection=texts, reason=texts),
    ProjectionResumed: st.builds(ProjectionResumed, projection=texts),
    PoisonEventSetAside: st.builds(
        PoisonEventSetAside,
        projection=texts,
        event_position=counts,
        event_stream_id=ids("attempt"),
        event_version=counts,
        event_type=texts,
        error=texts,
        attempts=counts,
    ),
    PoisonEventRetried: st.builds(PoisonEventRetried, projection=texts, event_stream_id=ids("attempt")),
    PoisonEventSkipped: st.builds(
        PoisonEventSkipped,
        projection=texts,
        event_position=counts,
        event_stream_id=ids("attempt"),
        reason=texts,
    ),
    ProjectionRebuilt: st.builds(
        ProjectionRebuilt,
        projection=texts,
        projection_version=counts,
        up_to_position=counts,
        events=counts,
        rows=st.dictionaries(texts, counts, max_size=4),
        sha256=texts,
        code_sha256=texts,
    ),
    SubscriptionStarted: st.builds(SubscriptionStarted, **_paid),
    SubscriptionRenewed: st.builds(SubscriptionRenewed, **_paid),
    SubscriptionCancelled: any_of(SubscriptionCancelled),
    SubscriptionExpired: any_of(SubscriptionExpired),
    # Ids of zones and of prerequisites have patterns, which any text would miss.
    ZoneConfigured: st.builds(ZoneConfigured, definition=st.sampled_from(tuple(DEFINITIONS.values()))),
    PrerequisiteAttested: any_of(PrerequisiteAttested),
    ZoneActivated: any_of(ZoneActivated),
    ZoneDeactivated: any_of(ZoneDeactivated),
}

metadata = st.builds(
    EventMetadata,
    event_id=uuids,
    actor=st.builds(Actor, st.sampled_from(["user", "service", "operator", "clock", "engine"]), texts),
    zone_id=maybe(zones),
    org_id=maybe(ids("organization")),
    correlation_id=texts,
    causation_id=texts,
    recorded_at=times,
)


def recorded(event_class: type[Event]) -> st.SearchStrategy[RecordedEvent]:
    return st.builds(
        RecordedEvent,
        ids(event_class.type_.category),
        st.integers(1, 2**53),
        metadata,
        EVENTS_BY_CLASS[event_class],
    )
