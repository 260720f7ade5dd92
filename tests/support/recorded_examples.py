"""One fully filled example of each event type: no field is empty and none has its default value.

Where a field may hold one of several kinds of struct, each kind has an example of its own.
"""

from datetime import UTC, datetime

import msgspec

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
from domain.exams.adaptive import (
    AdaptiveRules,
    AreaCount,
    AreaShare,
    CarryOver,
    Classification,
    Enemies,
    ExposureControl,
    Pool,
    PooledItem,
    PretestPlan,
    Progressive,
    Proportional,
    Randomesque,
    SympsonHetter,
    Testlet,
)
from domain.exams.events import Blueprint, ExamClosed, ExamDrafted, ExamPublished, FormItem, ResultsReleased
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
from domain.items.events import ItemBankCreated, ItemCreated, ItemRevised
from domain.items.responses import ChosenOptions, GivenNumber, GivenText
from domain.organizations.events import OrganizationFounded, OrganizationRenamed, ServiceClientAdded
from domain.parent_links.events import (
    LinkApproved,
    LinkExpired,
    LinkRejected,
    LinkRequested,
    LinkRevoked,
)
from domain.policies.decisions import AccessCounted, AccessDecided, CountedAccess
from domain.policies.events import (
    Flips,
    PolicyActivated,
    PolicyApproved,
    PolicyProposed,
    PolicySimulated,
    PolicySuperseded,
    PolicyValidated,
    PolicyWithdrawn,
    Proposal,
    Simulation,
)
from domain.subscriptions.events import (
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
from domain.zones.definitions import Check, Prerequisite, ZoneDefinition
from domain.zones.events import (
    CheckOutcome,
    PrerequisiteAttested,
    ZoneActivated,
    ZoneConfigured,
    ZoneDeactivated,
)
from tests.support.exam_parts import (
    BANK_ID,
    CHOICE_ID,
    EXAM_ID,
    NUMBER_ID,
    SCHOOL,
    STUDENT,
    TEACHER,
    TEXT_ID,
    uuid7,
)
from tests.support.recorded_calibrations import CALIBRATION_EVENTS

METADATA = EventMetadata(
    event_id=uuid7(0xE0E0),
    actor=Actor("user", TEACHER),
    zone_id="univprep",
    org_id=SCHOOL,
    correlation_id="request-1",
    causation_id=uuid7(0xC0C0),
    recorded_at=datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC),
)

CHOICE = MultipleChoice(
    content_area="reading",
    stem={"ko": "어느 것입니까?", "en": "Which one?"},
    points=2,
    explanation={"ja": "本文を見よ。", "zh": "见课文。"},
    irt=ItemParameters(a=1.2, b=-0.5, c=0.2, d=0.98),
    options=(Option("1", {"ko": "하나", "en": "one"}), Option("2", {"ko": "둘", "en": "two"})),
    key=ChoiceKey(("2",)),
)
CHOICES = MultipleResponse(
    content_area="reading",
    stem={"ko": "모두 고르시오.", "en": "Choose all."},
    points=3,
    explanation={"en": "Both."},
    irt=ItemParameters(a=0.8, b=0.25, c=0.1, d=0.95),
    options=(Option("a", {"ko": "가", "en": "A"}), Option("b", {"ko": "나", "en": "B"})),
    key=ChoiceKey(("a", "b")),
)
NUMERIC = Numeric(
    content_area="mathematics",
    stem={"en": "How much?"},
    points=4,
    explanation={"en": "Divide."},
    irt=ItemParameters(a=1.5, b=1.0, c=0.05, d=0.9),
    key=NumericKey("12.50", "0.05"),
)
SHORT_TEXT = ShortText(
    content_area="geography",
    stem={"ko": "수도는?"},
    points=5,
    explanation={"ko": "서울입니다."},
    irt=ItemParameters(a=0.7, b=-2.0, c=0.15, d=0.99),
    key=TextKey(("서울", "Seoul"), case_sensitive=True),
)
ADAPTIVE = AdaptiveRules(
    selection="kullback_leibler",
    exposure=SympsonHetter((0.25, 0.75)),
    shares=(AreaShare("reading", 2.0), AreaShare("mathematics", 1.0)),
    constraints=(
        AreaCount("reading", 5, 8),
        Enemies((CHOICE_ID, NUMBER_ID)),
        Testlet((CHOICE_ID, NUMBER_ID), 1, 2),
    ),
    stop_se=0.25,
    min_items=5,
    max_items=30,
    min_information=0.1,
    classification=Classification(
        cuts=(-1.0, 0.5),
        method="probability_ratio",
        confidence=0.9,
        half_width=0.2,
        alpha=0.025,
        beta=0.1,
    ),
    prior_mean=0.5,
    prior_sd=1.2,
    carry_over=CarryOver(exam_id=stream_id("exam", uuid7(0xEA)), max_age_days=180, drift_sd=0.25),
    pretest=PretestPlan(items=2, first_position=4, last_position=12),
    shows_key=True,
)
POOL = Pool(
    bank_id=BANK_ID,
    bank_version=3,
    items=(
        PooledItem("reading", (1.2, -0.5, 0.2, 0.98)),
        PooledItem("mathematics", (1.5, 1.0, 0.05, 0.9)),
    ),
)
BLUEPRINT = Blueprint(
    title={"ko": "모의고사", "en": "Mock exam"},
    items=(FormItem(CHOICE_ID, 1), FormItem(NUMBER_ID, 3)),
    description={"ko": "3월", "en": "March"},
    time_limit_s=3600,
    opens_at=datetime(2026, 3, 2, 9, tzinfo=UTC),
    closes_at=datetime(2026, 3, 2, 18, 30, tzinfo=UTC),
    attempts_allowed=2,
    release="after_closing",
    audience="zone",
    adaptive=ADAPTIVE,
    pool=POOL,
)


def _controlled_by(exposure: ExposureControl) -> Blueprint:
    rules = msgspec.structs.replace(ADAPTIVE, exposure=exposure)
    return msgspec.structs.replace(BLUEPRINT, adaptive=rules)


RANDOMESQUE, PROGRESSIVE, PROPORTIONAL = (
    _controlled_by(exposure) for exposure in (Randomesque(8), Progressive(2.0), Proportional(0.5))
)


def _response(event_class: type[ResponseGiven | ResponseChanged], response, sequence: int) -> Event:
    return event_class(
        examinee_id=STUDENT,
        exam_id=EXAM_ID,
        item_id=TEXT_ID,
        item_version=2,
        response=response,
        sequence=sequence,
    )


PROPOSAL = Proposal(
    rule='{"actions":["use_ai_tutor"],"description":{},"effect":"permit","id":"a-rule","title":{}}',
    replaces=stream_id("policy", uuid7(0xB1)),
)

_EVENTS: dict[str, Event] = {
    "attempt.started.v1": AttemptStarted(
        exam_id=EXAM_ID,
        examinee_id=STUDENT,
        ordinal=2,
        started_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
        deadline=datetime(2026, 3, 2, 13, tzinfo=UTC),
        grace_s=2.5,
    ),
    "attempt.response_given.v1": _response(ResponseGiven, GivenText("제 이름은 민지"), 7),
    "attempt.response_given.v1-options": _response(ResponseGiven, ChosenOptions(("1", "3")), 8),
    "attempt.response_given.v1-number": _response(ResponseGiven, GivenNumber("-12.50"), 9),
    "attempt.response_changed.v1": _response(ResponseChanged, GivenText("저는 서연"), 10),
    "attempt.response_changed.v1-options": _response(ResponseChanged, ChosenOptions(("2",)), 11),
    "attempt.response_changed.v1-number": _response(ResponseChanged, GivenNumber("0.1"), 12),
    "attempt.submitted.v1": AttemptSubmitted(exam_id=EXAM_ID, examinee_id=STUDENT, by="examinee"),
    "attempt.scored.v1": AttemptScored(
        exam_id=EXAM_ID,
        examinee_id=STUDENT,
        ordinal=2,
        items=(
            ScoredItem(
                item_id=CHOICE_ID, item_version=1, response=ChosenOptions(("2",)), score=2, max_score=2
            ),
            ScoredItem(item_id=NUMBER_ID, item_version=3, response=GivenNumber("12.5"), score=4, max_score=4),
            ScoredItem(
                item_id=TEXT_ID, item_version=2, response=GivenText("제 이름은 민지"), score=0, max_score=5
            ),
        ),
        score=6,
        max_score=11,
        scoring_version=1,
        ability=ScoredAbility(
            theta=0.8125,
            se=0.28,
            method="eap",
            items=3,
            stop_reason="se",
            category=2,
            bank_version=3,
            algorithm_version=1,
        ),
    ),
    "attempt.item_presented.v1": ItemPresented(
        exam_id=EXAM_ID,
        examinee_id=STUDENT,
        step=4,
        item_id=NUMBER_ID,
        item_version=3,
        pretest=False,
        theta=0.1 + 0.2,
        draw=0.625,
        passed_over=(CHOICE_ID, TEXT_ID),
        bank_version=3,
        algorithm_version=1,
    ),
    "attempt.ability_updated.v1": AbilityUpdated(
        exam_id=EXAM_ID,
        examinee_id=STUDENT,
        step=4,
        item_id=NUMBER_ID,
        right=True,
        pretest=True,
        theta=-0.3125,
        se=0.28,
        method="eap",
        bank_version=3,
        algorithm_version=1,
        seed=2**53 - 1,
        carried_over_from=stream_id("attempt", uuid7(0xA7)),
        stop_reason="max_items",
        category=1,
    ),
    "exam.drafted.v1": ExamDrafted(blueprint=BLUEPRINT),
    "exam.drafted.v1-randomesque": ExamDrafted(blueprint=RANDOMESQUE),
    "exam.drafted.v1-progressive": ExamDrafted(blueprint=PROGRESSIVE),
    "exam.drafted.v1-proportional": ExamDrafted(blueprint=PROPORTIONAL),
    "exam.published.v1": ExamPublished(blueprint=BLUEPRINT),
    "exam.published.v1-randomesque": ExamPublished(blueprint=RANDOMESQUE),
    "exam.published.v1-progressive": ExamPublished(blueprint=PROGRESSIVE),
    "exam.published.v1-proportional": ExamPublished(blueprint=PROPORTIONAL),
    "exam.closed.v1": ExamClosed(reason="window_ended"),
    "exam.results_released.v1": ResultsReleased(),
    "item_bank.created.v1": ItemBankCreated(name="수학", description="2026"),
    "item.created.v1": ItemCreated(bank_id=BANK_ID, code="read-01", content=CHOICE),
    "item.created.v1-multiple_response": ItemCreated(bank_id=BANK_ID, code="read-02", content=CHOICES),
    "item.created.v1-numeric": ItemCreated(bank_id=BANK_ID, code="math-01", content=NUMERIC),
    "item.created.v1-short_text": ItemCreated(bank_id=BANK_ID, code="geo-01", content=SHORT_TEXT),
    "item.revised.v1": ItemRevised(bank_id=BANK_ID, code="read-01", item_version=2, content=CHOICE),
    "item.revised.v1-multiple_response": ItemRevised(
        bank_id=BANK_ID, code="read-02", item_version=3, content=CHOICES
    ),
    "item.revised.v1-numeric": ItemRevised(bank_id=BANK_ID, code="math-01", item_version=4, content=NUMERIC),
    "item.revised.v1-short_text": ItemRevised(
        bank_id=BANK_ID, code="geo-01", item_version=5, content=SHORT_TEXT
    ),
    "organization.founded.v1": OrganizationFounded(name="하늘 학원", zone_id="univprep"),
    "class.closed.v1": ClassClosed(reason="the school year is over"),
    "class.opened.v1": ClassOpened(
        org_id=SCHOOL, zone_id="univprep", name="3학년 2반", external_id="2026-3-2"
    ),
    "class.renamed.v1": ClassRenamed(name="3학년 3반"),
    "class.student_enrolled.v1": StudentEnrolled(user_id=STUDENT),
    "class.student_withdrawn.v1": StudentWithdrawn(user_id=STUDENT),
    "class.teacher_assigned.v1": TeacherAssigned(user_id=TEACHER),
    "class.teacher_withdrawn.v1": TeacherWithdrawn(user_id=TEACHER),
    "invitation.accepted.v1": InvitationAccepted(user_id=TEACHER),
    "invitation.expired.v1": InvitationExpired(),
    "invitation.member_invited.v1": MemberInvited(
        org_id=SCHOOL,
        org_name="한빛고등학교",
        zone_id="univprep",
        role="teacher",
        email="jiwoo@example.org",
        email_hash="d1" * 32,
        language="ko",
        expires_at=datetime(2026, 3, 16, 12, tzinfo=UTC),
        class_id=stream_id("class", uuid7(0xC1)),
    ),
    "invitation.revoked.v1": InvitationRevoked(),
    "organization.renamed.v1": OrganizationRenamed(name="한빛고등학교"),
    "organization.service_client_added.v1": ServiceClientAdded(
        client_id="grader", name="Grader", credential_id=uuid7(0xCC), roles=("service", "org_admin")
    ),
    "user.registered.v1": UserRegistered(
        origin="organization",
        zone_id="univprep",
        display_name="김민지",
        language="ko",
        email="minji@example.org",
        email_hash="5f3c" * 16,
        credential_id=uuid7(0xCD),
        org_id=SCHOOL,
        external_ref="2026-0317",
        country="KR",
        birth_date="2009-03-17",
    ),
    "user.email_verified.v1": EmailVerified(email_hash="5f3c" * 16),
    "user.identity_linked.v1": IdentityLinked(provider="example", subject_hash="7a1d" * 16),
    "user.identity_unlinked.v1": IdentityUnlinked(provider="example", subject_hash="7a1d" * 16),
    "user.passkey_registered.v1": PasskeyRegistered(credential_ref=uuid7(0xCF), name="민지의 휴대전화"),
    "user.passkey_removed.v1": PasskeyRemoved(credential_ref=uuid7(0xCF)),
    "user.password_changed.v1": PasswordChanged(credential_id=uuid7(0xCE), by="emailed_link"),
    "user.deactivated.v1": UserDeactivated(reason="left the school"),
    "user.profile_changed.v1": ProfileChanged(display_name="김서연", language="en"),
    "user.role_confirmed.v1": RoleConfirmed(
        role="org_admin", org_id=SCHOOL, confirmed_at=datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    ),
    "user.role_granted.v1": RoleGranted(
        role="teacher", org_id=SCHOOL, granted_at=datetime(2026, 2, 1, 8, tzinfo=UTC)
    ),
    "user.role_lapsed.v1": RoleLapsed(role="tutor", org_id=SCHOOL, reason="removed"),
    "system.projection_paused.v1": ProjectionPaused(projection="people", reason="the disk is being moved"),
    "system.projection_resumed.v1": ProjectionResumed(projection="people"),
    "system.poison_event_set_aside.v1": PoisonEventSetAside(
        projection="people",
        event_position=4711,
        event_stream_id=STUDENT,
        event_version=3,
        event_type="user.profile_changed.v1",
        error="RowMissing",
        attempts=2,
    ),
    "system.poison_event_retried.v1": PoisonEventRetried(projection="people", event_stream_id=STUDENT),
    "system.poison_event_skipped.v1": PoisonEventSkipped(
        projection="people", event_position=4711, event_stream_id=STUDENT, reason="written by a test"
    ),
    "system.projection_rebuilt.v1": ProjectionRebuilt(
        projection="people",
        projection_version=2,
        up_to_position=9000,
        events=8000,
        rows={"people": 120},
        sha256="5f3c" * 16,
        code_sha256="a1b2" * 16,
    ),
    **CALIBRATION_EVENTS,
    "zone.configured.v1": ZoneConfigured(
        definition=ZoneDefinition(
            zone_id="skillprep",
            uuid=uuid7(0x20E),
            domain="skillprep.example",
            names={"ko": "자격증", "en": "Certificates"},
            languages=("ko", "en"),
            features=("certificates",),
            prerequisites=(
                Prerequisite(
                    "univprep-open",
                    {"ko": "3개월 운영", "en": "Open for three months"},
                    Check("days_active", 90, of_zone="univprep"),
                ),
            ),
            open_from_start=True,
        )
    ),
    "zone.prerequisite_attested.v1": PrerequisiteAttested(
        prerequisite="stable",
        evidence="운영 보고서 2026-03",
        attested_by=TEACHER,
        attested_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    ),
    "zone.activated.v1": ZoneActivated(
        origin="order",
        reason="everything is in place",
        activated_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
        checks=(CheckOutcome("items", "published_items", 1_000, 1_204),),
        attested=("stable",),
    ),
    "zone.deactivated.v1": ZoneDeactivated(
        reason="the content is reviewed anew", deactivated_at=datetime(2026, 3, 3, 12, tzinfo=UTC)
    ),
    "parent_link.requested.v1": LinkRequested(
        parent_id=stream_id("user", uuid7(0xFA)), student_id=STUDENT, zone_id="univprep"
    ),
    "parent_link.approved.v1": LinkApproved(),
    "parent_link.rejected.v1": LinkRejected(),
    "parent_link.expired.v1": LinkExpired(),
    "parent_link.revoked.v1": LinkRevoked(by="student"),
    "observation.access_decided.v1": AccessDecided(
        decision_id=uuid7(0xD1),
        decided_at=datetime(2026, 3, 2, 12, 1, tzinfo=UTC),
        principal_id=STUDENT,
        action="use_ai_tutor",
        resource_kind="feature",
        resource_id="ai-tutor",
        request=(
            '{"action":"use_ai_tutor","context":{"hour":21,"via":"web","weekday":1},'
            f'"principal":{{"age_years":15,"email_verified":true,"has_active_exam":true,"id":"{STUDENT}",'
            '"roles":["student"],"subscription_status":"active","zone":"univprep"},'
            '"resource":{"id":"ai-tutor","kind":"feature","zone":"univprep"},'
            f'"versions":{{"{STUDENT}":3}}}}'
        ),
        allowed=True,
        reason="permitted",
        decided_by=(stream_id("policy", uuid7(0xB1)), stream_id("policy", uuid7(0xB2))),
        audited=True,
        policies_position=9_001,
        policies_since=datetime(2026, 3, 1, 15, 0, tzinfo=UTC),
    ),
    "observation.access_counted.v1": AccessCounted(
        since=datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
        until=datetime(2026, 3, 2, 12, 1, tzinfo=UTC),
        permitted=(
            CountedAccess(
                request=(
                    '{"action":"enter_zone","context":{},"principal":{"id":"","roles":["student"],'
                    '"zone":"univprep"},"resource":{"id":"","kind":"zone","zone":"univprep"},"versions":{}}'
                ),
                count=4_200,
            ),
        ),
        others=17,
    ),
    "policy.proposed.v1": PolicyProposed(
        proposal=PROPOSAL,
        proposal_sha256="9b74" * 16,
        widens=True,
        proposed_by=TEACHER,
        reason="tutors may help in practice tests",
    ),
    "policy.validated.v1": PolicyValidated(
        proposal_sha256="9b74" * 16, cedar_sha256="c3ab" * 16, engine="cedarpy 4.12.2"
    ),
    "policy.simulated.v1": PolicySimulated(
        simulation=Simulation(
            proposal_sha256="9b74" * 16,
            after_position=1_000,
            up_to_position=9_000,
            decisions=4_200,
            flips=(
                Flips(
                    role="student",
                    zone="univprep",
                    decided_by=stream_id("policy", uuid7(0xB2)),
                    now="allow",
                    count=17,
                ),
            ),
        ),
        simulated_by=TEACHER,
    ),
    "policy.approved.v1": PolicyApproved(
        proposal_sha256="9b74" * 16, approved_by=STUDENT, reason="17 more people get in, as intended"
    ),
    "policy.activated.v1": PolicyActivated(
        proposal=PROPOSAL,
        proposal_sha256="9b74" * 16,
        active_from=datetime(2026, 3, 9, 0, 0, tzinfo=UTC),
    ),
    "policy.superseded.v1": PolicySuperseded(
        superseded_by=stream_id("policy", uuid7(0xB2)),
        superseded_from=datetime(2026, 3, 9, 0, 0, tzinfo=UTC),
    ),
    "policy.withdrawn.v1": PolicyWithdrawn(withdrawn_by=TEACHER, reason="no longer needed"),
    "subscription.started.v1": SubscriptionStarted(
        user_id=STUDENT,
        occurred_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
        source="webhook",
        plan="premium",
        paid_until=datetime(2026, 4, 2, 12, tzinfo=UTC),
        payment_event_id="msg_1",
        payment_ref="order 2026-0317",
    ),
    "subscription.renewed.v1": SubscriptionRenewed(
        user_id=STUDENT,
        occurred_at=datetime(2026, 4, 1, 12, tzinfo=UTC),
        source="administrator",
        plan="premium-family",
        paid_until=datetime(2026, 5, 2, 12, tzinfo=UTC),
        payment_event_id="msg_2",
        payment_ref="order 2026-0412",
    ),
    "subscription.cancelled.v1": SubscriptionCancelled(
        user_id=STUDENT,
        occurred_at=datetime(2026, 4, 9, 12, tzinfo=UTC),
        source="webhook",
        payment_event_id="msg_3",
        reason="moves abroad",
    ),
    "subscription.expired.v1": SubscriptionExpired(
        user_id=STUDENT, paid_until=datetime(2026, 5, 2, 12, tzinfo=UTC)
    ),
}

EXAMPLES: dict[str, RecordedEvent] = {
    name: RecordedEvent(stream_id(event.type_.category, uuid7(number)), number, METADATA, event)
    for number, (name, event) in enumerate(_EVENTS.items(), 1)
}
"""By the name of the golden file: the stored type name and, behind a hyphen, which kind of content."""


def stored_name_of(example: str) -> str:
    return example.partition("-")[0]
