"""A log written by hand: events with ids, versions, positions and times that are the same in every run."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from zlib import crc32

from domain.attempts.events import (
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ResponseChanged,
    ResponseGiven,
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
from domain.events import Actor, Event, EventMetadata, PositionedEvent, RecordedEvent
from domain.exams.events import Blueprint, ExamDrafted, ExamPublished, FormItem
from domain.identifiers import stream_id
from domain.items.content import (
    ChoiceKey,
    ItemContent,
    ItemParameters,
    MultipleChoice,
    Numeric,
    NumericKey,
    Option,
)
from domain.items.events import ItemBankCreated, ItemCreated
from domain.items.responses import ChosenOptions, Response
from domain.items.scoring import score
from domain.organizations.events import OrganizationFounded, OrganizationRenamed
from domain.parent_links.events import LinkApproved, LinkRequested, LinkRevoked
from domain.users.events import RoleGranted, RoleLapsed, UserDeactivated, UserRegistered
from infra.event_store.feed import FeedPage, OnUnreadable, Partition
from tests.support.recorded_calibrations import CALIBRATION_EVENTS

ZONE = "univprep"
BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def a_uuid7(number: int) -> str:
    return f"019cabcd-0000-7000-8000-{number:012x}"


ORG = stream_id("organization", a_uuid7(0xFFFF))
OTHER_ORG = stream_id("organization", a_uuid7(0xFFFE))


def a_choice_item(  # the key is always the option that comes first
    options: Sequence[str] = ("1", "2", "3", "4"), *, points: int = 1, stem: str = "Which?"
) -> MultipleChoice:
    return MultipleChoice(
        content_area="reading",
        stem={"ko": f"{stem} (ko)", "en": stem},
        points=points,
        options=tuple(Option(each, {"ko": f"보기 {each}", "en": f"Option {each}"}) for each in options),
        key=ChoiceKey((options[0],)),
        explanation={"en": "Because it says so."},
        irt=ItemParameters(a=1.1, b=-0.25, c=0.2),
    )


def a_numeric_item(points: int = 2) -> Numeric:
    return Numeric(
        content_area="mathematics", stem={"ko": "얼마입니까?"}, points=points, key=NumericKey("12.5", "0.1")
    )


class Story:
    """Grows by one event at a time; safe to read while another thread writes it."""

    def __init__(self, zone_id: str = ZONE, org_id: str | None = ORG) -> None:
        self.zone_id = zone_id
        self.org_id = org_id
        self.actor = Actor("operator", "tests")
        self.events: list[PositionedEvent] = []
        self._versions: dict[str, int] = {}
        self._numbers = 0
        self._contents: dict[tuple[str, int], ItemContent] = {}

    def new_id(self, category: str) -> str:
        self._numbers += 1
        return stream_id(category, a_uuid7(self._numbers))

    def add(
        self, stream: str, event: Event, *, zone_id: str | None = None, org_id: str | None = None
    ) -> PositionedEvent:
        position = len(self.events) + 1
        version = self._versions[stream] = self._versions.get(stream, 0) + 1
        metadata = EventMetadata(
            event_id=a_uuid7(0xE000_0000 + position),
            actor=self.actor,
            zone_id=zone_id or self.zone_id,
            org_id=org_id or self.org_id,
            correlation_id="tests",
            causation_id="tests",
            recorded_at=BEGIN + timedelta(milliseconds=position),
        )
        added = PositionedEvent(position, RecordedEvent(stream, version, metadata, event))
        self.events.append(added)
        return added

    def person(self, *roles: tuple[str, str | None], name: str = "민지", org_id: str | None = ORG) -> str:
        user = self.new_id("user")
        self.add(
            user,
            UserRegistered(
                origin="organization",
                zone_id=self.zone_id,
                display_name=name,
                language="ko",
                email=f"{user[-4:]}@example.org",
                org_id=org_id,
            ),
        )
        for role, org in roles:
            self.add(user, RoleGranted(role=role, org_id=org))
        return user

    @contextmanager
    def by(self, person: str) -> Iterator[None]:
        """What happens meanwhile is done by this person."""
        before, self.actor = self.actor, Actor("user", person)
        try:
            yield
        finally:
            self.actor = before

    def school_class(
        self, org_id: str, *, teachers: Sequence[str] = (), students: Sequence[str] = (), name: str = "1-1"
    ) -> str:
        opened = self.new_id("class")
        self.add(opened, ClassOpened(org_id=org_id, zone_id=self.zone_id, name=name), org_id=org_id)
        for teacher in teachers:
            self.add(opened, TeacherAssigned(user_id=teacher), org_id=org_id)
        for student in students:
            self.add(opened, StudentEnrolled(user_id=student), org_id=org_id)
        return opened

    def link(self, parent: str, student: str, *, approved: bool = True) -> str:
        link = self.new_id("parent_link")
        self.add(link, LinkRequested(parent_id=parent, student_id=student, zone_id=self.zone_id))
        if approved:
            self.add(link, LinkApproved())
        return link

    def bank(self, name: str = "Bank") -> str:
        bank = self.new_id("item_bank")
        self.add(bank, ItemBankCreated(name=name, description="For tests"))
        return bank

    def item(self, bank: str, code: str, content: ItemContent) -> str:
        item = self.new_id("item")
        self._contents[item, 1] = content
        self.add(item, ItemCreated(bank_id=bank, code=code, content=content))
        return item

    def exam(self, items: Sequence[str], **blueprint: object) -> str:
        exam = self.draft(items, **blueprint)
        self.publish(exam)
        return exam

    def draft(self, items: Sequence[str], **blueprint: object) -> str:
        exam = self.new_id("exam")
        drafted = Blueprint(
            title={"ko": "모의고사", "en": "Mock exam"},
            items=tuple(FormItem(item, 1) for item in items),
            **blueprint,
        )
        self.add(exam, ExamDrafted(blueprint=drafted))
        return exam

    def publish(self, exam: str) -> None:
        self.add(exam, ExamPublished(blueprint=self.blueprint(exam)))

    def blueprint(self, exam: str) -> Blueprint:
        return next(
            each.recorded.event.blueprint
            for each in reversed(self.events)
            if each.recorded.stream_id == exam and isinstance(each.recorded.event, ExamDrafted)
        )

    def start(self, exam: str, examinee: str, ordinal: int = 1, limit_s: int | None = 3600) -> str:
        attempt = self.new_id("attempt")
        self.add(
            attempt,
            AttemptStarted(
                exam_id=exam,
                examinee_id=examinee,
                ordinal=ordinal,
                started_at=BEGIN,
                deadline=None if limit_s is None else BEGIN + timedelta(seconds=limit_s),
                grace_s=5.0,
            ),
        )
        return attempt

    def respond(self, attempt: str, item: str, response: Response | None) -> None:
        started = self._started(attempt)
        earlier = [
            each.recorded.event
            for each in self.events
            if each.recorded.stream_id == attempt and getattr(each.recorded.event, "item_id", None) == item
        ]
        event_class = ResponseChanged if earlier else ResponseGiven
        self.add(
            attempt,
            event_class(
                examinee_id=started.examinee_id,
                exam_id=started.exam_id,
                item_id=item,
                item_version=1,
                response=response,
                sequence=len(earlier) + 1,
            ),
        )

    def submit(self, attempt: str) -> AttemptScored:
        started = self._started(attempt)
        self.add(
            attempt,
            AttemptSubmitted(exam_id=started.exam_id, examinee_id=started.examinee_id, by="examinee"),
        )
        given = {
            each.recorded.event.item_id: each.recorded.event.response
            for each in self.events
            if each.recorded.stream_id == attempt and hasattr(each.recorded.event, "item_id")
        }
        scored = scored_event(
            started,
            [
                (pinned.item_id, self._contents[pinned.item_id, 1], given.get(pinned.item_id))
                for pinned in self.blueprint(started.exam_id).items
            ],
        )
        self.add(attempt, scored)
        return scored

    def take(self, exam: str, examinee: str, responses: Sequence[Response | None], ordinal: int = 1) -> str:
        """Starts, answers the items in order and submits."""
        attempt = self.start(exam, examinee, ordinal)
        for pinned, response in zip(self.blueprint(exam).items, responses, strict=True):
            if response is not None:
                self.respond(attempt, pinned.item_id, response)
        self.submit(attempt)
        return attempt

    def _started(self, attempt: str) -> AttemptStarted:
        return next(
            each.recorded.event
            for each in self.events
            if each.recorded.stream_id == attempt and isinstance(each.recorded.event, AttemptStarted)
        )


def scored_event(
    started: AttemptStarted, answers: Sequence[tuple[str, ItemContent, Response | None]]
) -> AttemptScored:
    items = tuple(
        ScoredItem(
            item_id=item_id,
            item_version=1,
            response=response,
            score=score(content, response),
            max_score=content.points,
        )
        for item_id, content, response in answers
    )
    return AttemptScored(
        exam_id=started.exam_id,
        examinee_id=started.examinee_id,
        ordinal=started.ordinal,
        items=items,
        score=sum(item.score for item in items),
        max_score=sum(item.max_score for item in items),
        scoring_version=1,
    )


class StoryFeed:
    """The feed of a story, as the event store's: `head` moves while somebody goes on writing."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.reads = 0

    def head(self) -> int:
        return len(self.story.events)

    def read(
        self,
        after: int,
        limit: int,
        event_types: Sequence[type[Event]] | None = None,
        *,
        categories: Sequence[str] | None = None,
        partition: Partition | None = None,
        up_to: int | None = None,
    ) -> FeedPage:
        self.reads += 1
        end = self.head() if up_to is None else min(self.head(), up_to)
        found: list[PositionedEvent] = []
        for event in self.story.events[after:end]:
            if self._is_wanted(event, event_types, categories, partition):
                found.append(event)
                if len(found) == limit:
                    return FeedPage(found, event.position)
        return FeedPage(found, max(end, after))

    def stream(
        self,
        after: int,
        up_to: int,
        event_types: Sequence[type[Event]] | None = None,
        *,
        categories: Sequence[str] | None = None,
        partition: Partition | None = None,
        on_unreadable: OnUnreadable | None = None,  # a story has none
    ) -> Iterator[PositionedEvent]:
        del on_unreadable
        for event in self.story.events[after : min(self.head(), up_to)]:
            if self._is_wanted(event, event_types, categories, partition):
                yield event

    @staticmethod
    def _is_wanted(
        event: PositionedEvent,
        event_types: Sequence[type[Event]] | None,
        categories: Sequence[str] | None,
        partition: Partition | None,
    ) -> bool:
        stream = event.recorded.stream_id
        return (
            (event_types is None or isinstance(event.recorded.event, tuple(event_types)))
            and (categories is None or event.recorded.category in categories)
            and (partition is None or crc32(stream.encode()) % partition.count == partition.index)
        )

    def wait(self, after: int, timeout_s: float) -> None:
        if self.head() <= after:
            threading.Event().wait(min(timeout_s, 0.01))


def a_whole_story(examinees: int = 12, seed: int = 7, *, relations: bool = False) -> Story:
    """Everything that can happen, in a mixed order: drafts, revisions, changed and withdrawn answers,
    second attempts, releases, adaptive tests at every stage, calibrations."""
    from domain.exams.events import ExamClosed, ResultsReleased
    from domain.items.events import ItemRevised
    from domain.items.responses import GivenNumber
    from domain.users.events import ProfileChanged

    random = Random(seed)
    story = Story()
    bank = story.bank()
    items = [story.item(bank, f"code-{n}", a_choice_item(points=1 + n % 2)) for n in range(4)]
    items.append(story.item(bank, "number", a_numeric_item()))
    story.add(
        items[0],
        ItemRevised(bank_id=bank, code="code-0", item_version=2, content=a_choice_item(("a", "b"))),
    )
    students = [story.person(("student", ORG), name=f"학생 {n}") for n in range(examinees)]
    story.add(students[0], ProfileChanged(display_name="새 이름", language="en"))
    open_exam = story.exam(items, attempts_allowed=2)
    late_exam = story.exam(items[:3], release="after_closing", time_limit_s=600)
    hand_exam = story.exam(items[1:], release="by_hand", audience="zone")
    story.draft(items[:1])
    running: list[tuple[str, str]] = []
    for exam in (open_exam, late_exam, hand_exam):
        running += [(exam, story.start(exam, student)) for student in students]
    for _ in range(examinees * 12):
        exam, attempt = random.choice(running)
        item = random.choice(story.blueprint(exam).items).item_id
        if item == items[4]:
            response: Response | None = GivenNumber(random.choice(["12.5", "12", "12.45"]))
        else:
            response = ChosenOptions((random.choice("1112234"),))
        story.respond(attempt, item, random.choice([response, response, response, None]))
    random.shuffle(running)
    for _, attempt in running[: len(running) * 3 // 4]:
        story.submit(attempt)
    story.add(late_exam, ExamClosed(reason="teacher"))
    story.add(hand_exam, ResultsReleased())
    _adaptive_tests(story, students[:4], seed)
    for event in CALIBRATION_EVENTS.values():
        story.add(bank, event)
    if relations:
        _relations(story, students)
    for student in students[: examinees // 2]:
        story.take(open_exam, student, [ChosenOptions(("1",))] * 4 + [None], ordinal=2)
    return story


def _relations(story: Story, students: Sequence[str]) -> None:
    """Classes, links and roles, some of which are over."""
    story.add(ORG, OrganizationFounded(name="School", zone_id=ZONE), org_id=ORG)
    story.add(ORG, OrganizationRenamed(name="The school"), org_id=ORG)
    teachers = [story.person(("teacher", ORG)) for _ in range(2)]
    taught = story.school_class(ORG, teachers=teachers, students=students)
    story.add(taught, ClassRenamed(name="1-2"))
    story.add(taught, TeacherWithdrawn(user_id=teachers[1]))
    story.add(taught, StudentWithdrawn(user_id=students[-1]))
    over = story.school_class(ORG, teachers=teachers, students=students[:2])
    story.add(over, ClassClosed(reason="the year is over"))
    story.add(teachers[1], RoleLapsed(role="teacher", org_id=ORG, reason="left"))
    story.add(teachers[1], RoleGranted(role="tutor", org_id=ORG))
    parents = [story.person(("parent", None), org_id=None) for _ in range(2)]
    story.link(parents[0], students[0])
    story.add(story.link(parents[1], students[0]), LinkRevoked(by="student"))
    story.link(parents[1], students[-1], approved=False)
    story.add(story.person(("student", ORG)), UserDeactivated(reason="moved away"))


def _adaptive_tests(story: Story, students: Sequence[str], seed: int) -> None:
    """One taken to the end, one handed in early, one in which an item waits, one just begun."""
    import numpy as np

    from domain.cat.items import LogisticItems
    from domain.exams.adaptive import AdaptiveRules, PretestPlan
    from tests.support.adaptive_story import publish_adaptive, take_adaptive

    rng = np.random.default_rng(seed)
    bank = LogisticItems.of(rng.uniform(0.8, 2.0, 12), rng.normal(size=12), 0.2, 1.0)
    pretest = PretestPlan(items=1, first_position=2, last_position=4)
    exam = publish_adaptive(story, bank, AdaptiveRules(max_items=8, pretest=pretest), pretest=2)
    stages: list[tuple[int | None, bool]] = [(None, True), (3, True), (5, False), (0, False)]
    for student, (answers, hands_in) in zip(students, stages, strict=False):
        take_adaptive(story, exam, student, 0.4, rng, answers=answers, hands_in=hands_in)
