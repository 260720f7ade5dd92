"""Random worlds of people, roles, links, classes, organisations and zones, and who looks at them.

world = a_world(Random(7))
fill(conninfo, world.story)
disagreements(conninfo, world)   # nothing, and how many looks were compared
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, get_args

import numpy as np
import psycopg
from psycopg.rows import dict_row

from domain.cat.logistic import LogisticItems
from domain.classes.events import ClassClosed, StudentWithdrawn, TeacherWithdrawn
from domain.exams.adaptive import AdaptiveRules
from domain.exams.events import Audience, ExamClosed, ReleaseRule, ResultsReleased
from domain.identifiers import stream_id
from domain.items.responses import ChosenOptions
from domain.organizations.events import OrganizationFounded
from domain.parent_links.events import LinkRejected, LinkRevoked
from domain.users.events import RoleGranted, RoleLapsed, UserDeactivated
from infra.http.principal import Principal, RoleGrant
from infra.postgres.roles import PROJECTOR, READER, role_conninfo
from infra.read_store import ReadStore
from projections.attempts import queries as attempt_queries
from projections.audit.queries import Criteria, entries
from projections.catalogue import queries as catalogue_queries
from projections.people.queries import person
from projections.queries import Connection
from tests.support.adaptive_story import publish_adaptive, take_adaptive
from tests.support.postgres import ROLE_SECRET
from tests.support.school import PROJECTIONS
from tests.support.story import Story, a_choice_item, a_uuid7
from tests.support.visibility import KEYS, Rules, all_rows, be, keys_in, reader

ZONES = ("univprep", "kzone")
PLACED = ("student", "student", "student", "teacher", "teacher", "tutor", "org_admin")
"""Roles that are held in an organisation as a rule."""
EVERYWHERE = ("student", "parent", "zone_admin", "sys_admin", "teacher", "org_admin")
PEOPLE, ASKERS, EVERYTHING = 16, 14, 100_000


@dataclass
class World:
    story: Story
    people: list[str]
    askers: list[Principal]
    exams: list[str]
    attempts: list[str]


class _Maker:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.story = Story()
        self.orgs: list[tuple[str, str]] = []
        self.zone_of: dict[str, str] = {}
        self.roles: dict[str, list[tuple[str, str | None]]] = {}
        self.exams: list[str] = []
        self.attempts: list[str] = []

    def make(self) -> World:
        self._organizations()
        self._people()
        self._classes()
        self._links()
        for _ in range(5):
            self._exam()
        self._adaptive_exam()
        self._endings()
        askers = [self._asker() for _ in range(ASKERS)]
        return World(self.story, [*self.roles], askers, self.exams, self.attempts)

    def _at(self, place: tuple[str, str]) -> str:
        """What happens next is recorded for this organisation; its id."""
        self.story.org_id, self.story.zone_id = place
        return place[0]

    def _organizations(self) -> None:
        for number in range(3):
            place = (stream_id("organization", a_uuid7(0xF000 + number)), ZONES[number % 2])
            self.orgs.append(place)
            self.story.add(self._at(place), OrganizationFounded(name=f"School {number}", zone_id=place[1]))

    def _people(self) -> None:
        for _ in range(PEOPLE):
            place = self.random.choice(self.orgs)
            self._at(place)
            held = [
                (self.random.choice(PLACED), self._some_org(place))
                for _ in range(self.random.choice((1, 1, 2)))
            ]
            if self.random.random() < 0.4:
                held.append((self.random.choice(EVERYWHERE), None))
            held = list(dict.fromkeys(held))
            user = self.story.person(*held, org_id=self.random.choice((place[0], None)))
            self.zone_of[user], self.roles[user] = place[1], held

    def _some_org(self, place: tuple[str, str]) -> str:
        return place[0] if self.random.random() < 0.8 else self.random.choice(self.orgs)[0]

    def _some(self, most: int) -> list[str]:
        return self.random.sample([*self.roles], self.random.randint(0, most))

    def _classes(self) -> None:
        for _ in range(5):
            org = self._at(self.random.choice(self.orgs))
            teachers, students = self._teachers_of(org) + self._some(2), self._some(6)
            opened = self.story.school_class(org, teachers=teachers, students=students)
            if self.random.random() < 0.3:
                self.story.add(opened, ClassClosed(reason="over"))
            for teacher in teachers[:1] if self.random.random() < 0.3 else ():
                self.story.add(opened, TeacherWithdrawn(user_id=teacher))
            for student in students[:2] if self.random.random() < 0.3 else ():
                self.story.add(opened, StudentWithdrawn(user_id=student))

    def _teachers_of(self, org: str) -> list[str]:
        return [
            user for user, held in self.roles.items() if ("teacher", org) in held or ("tutor", org) in held
        ]

    def _links(self) -> None:
        for _ in range(6):
            parent, child = self.random.sample([*self.roles], 2)
            self.story.zone_id = self.zone_of[child]
            link = self.story.link(parent, child, approved=(approved := self.random.random() < 0.8))
            if self.random.random() < 0.25:
                self.story.add(link, LinkRevoked(by="student") if approved else LinkRejected())

    def _exam(self) -> None:
        self._at(self.random.choice(self.orgs))
        story, author = self.story, self.random.choice([*self.roles])
        bank = story.bank()
        items = [story.item(bank, f"q{n}", a_choice_item()) for n in range(2)]
        blueprint: dict[str, Any] = {
            "release": self.random.choice(get_args(ReleaseRule)),
            "audience": self.random.choice(get_args(Audience)),
        }
        with story.by(author):
            exam = story.draft(items, **blueprint)
        self.exams.append(exam)
        if self.random.random() < 0.15:
            return
        story.publish(exam)
        for examinee in self._some(5):
            if self.random.random() < 0.6:
                answers = [ChosenOptions((self.random.choice("12"),)) for _ in items]
                self.attempts.append(story.take(exam, examinee, answers))
            else:
                self.attempts.append(story.start(exam, examinee))
                story.respond(self.attempts[-1], items[0], ChosenOptions(("1",)))
        if self.random.random() < 0.3:
            story.add(exam, ExamClosed(reason="teacher"))
        if self.random.random() < 0.3:
            story.add(exam, ResultsReleased())

    def _adaptive_exam(self) -> None:
        self._at(self.random.choice(self.orgs))
        rng = np.random.default_rng(self.random.getrandbits(32))
        bank = LogisticItems.of(rng.uniform(0.8, 2.0, 4), rng.normal(size=4), 0.2, 1.0)
        rules = AdaptiveRules(max_items=2, stop_se=None, shows_key=self.random.random() < 0.5)
        release = self.random.choice(get_args(ReleaseRule))
        with self.story.by(self.random.choice([*self.roles])):
            exam = publish_adaptive(self.story, bank, rules, release=release)
        self.exams.append(exam.exam_id)
        for examinee in self._some(6):
            hands_in = self.random.random() < 0.7
            answers = None if hands_in else 1
            self.attempts.append(
                take_adaptive(self.story, exam, examinee, 0.0, rng, answers=answers, hands_in=hands_in)
            )

    def _endings(self) -> None:
        """Roles that are taken away, some of them given again; accounts that are closed."""
        for user in self._some(5):
            role, org = self.random.choice(self.roles[user])
            self.story.add(user, RoleLapsed(role=role, org_id=org, reason="removed"))
            if self.random.random() < 0.3:
                self.story.add(user, RoleGranted(role=role, org_id=org))
        for user in self._some(2):
            self.story.add(user, UserDeactivated(reason="left"))

    def _asker(self) -> Principal:
        if self.random.random() < 0.15:
            org, zone = self.random.choice(self.orgs)
            return self._principal("client-program", zone, [("service", org)])
        user = self.random.choice([*self.roles])
        held = [each for each in self.roles[user] if self.random.random() < 0.85]
        if self.random.random() < 0.15:
            held.append((self.random.choice(PLACED), self.random.choice(self.orgs)[0]))
        if self.random.random() < 0.1:
            held.append((self.random.choice(EVERYWHERE), None))
        zone = self.zone_of[user] if self.random.random() < 0.9 else self.random.choice(ZONES)
        return self._principal(user, zone, held)

    @staticmethod
    def _principal(subject: str, zone: str, held: Iterable[tuple[str, str | None]]) -> Principal:
        grants = tuple(RoleGrant(role, org) for role, org in dict.fromkeys(held))
        return Principal(subject_id=subject, zone_id=zone, roles=grants, session_id="tests")


def a_world(random: Random) -> World:
    return _Maker(random).make()


def fill(conninfo: str, story: Story) -> None:
    """The rows of this story, and of nothing that was there before."""
    projector = role_conninfo(conninfo, PROJECTOR, ROLE_SECRET)
    with psycopg.connect(projector, row_factory=dict_row) as connection, connection.cursor() as cursor:
        for projection in PROJECTIONS:
            for table in projection.tables:
                cursor.execute(f"DELETE FROM read.{table}")
            projection.apply(cursor, story.events)


def disagreements(conninfo: str, world: World) -> tuple[list[str], int]:
    """What rows and answers differ from the model, and how many looks were compared."""
    rows = all_rows(conninfo)
    rules = Rules(rows)
    found, looks = _in_the_database(conninfo, world, rules)
    answers = asyncio.run(_through_the_queries(conninfo, world, rules))
    return found + [each for each in answers if each], looks + len(answers)


def _in_the_database(conninfo: str, world: World, rules: Rules) -> tuple[list[str], int]:
    found, looks = [], 0
    with reader(conninfo) as connection:
        for asker in world.askers:
            alone = [
                Principal(subject_id=asker.subject_id, zone_id=asker.zone_id, roles=roles, session_id="tests")
                for roles in ((), *((grant,) for grant in asker.roles))
            ]
            with connection.transaction():
                added_up: dict[str, set[tuple[Any, ...]]] = {table: set() for table in KEYS}
                for one in alone if len(asker.roles) > 1 else ():
                    be(connection, one)
                    for table in KEYS:
                        added_up[table] |= keys_in(connection, table)
                be(connection, asker)
                for table in KEYS:
                    rows, expected = keys_in(connection, table), rules.visible(asker, table)
                    looks += 1
                    if rows != expected:
                        found.append(f"{asker} and {table}: +{rows - expected} -{expected - rows}")
                    if len(asker.roles) > 1 and rows != added_up[table]:
                        found.append(f"{asker} sees in {table} what no role of theirs shows")
    return found, looks


async def _through_the_queries(conninfo: str, world: World, rules: Rules) -> list[str]:
    """For each question an empty text, or what is wrong with its answer."""
    said = []
    async with ReadStore(role_conninfo(conninfo, READER, ROLE_SECRET), max_size=2) as store:
        for asker in world.askers:
            sees = _Sees(rules, asker)
            async with store.session(asker) as connection:
                for name, answer, expected in await _answers(connection, world, sees):
                    said.append("" if answer == expected else f"{asker}: {name}: {answer} for {expected}")
    return said


class _Sees:
    def __init__(self, rules: Rules, asker: Principal) -> None:
        self.asker = asker
        self.rows = rules.rows
        self._rules = rules
        self._known: dict[str, set[tuple[Any, ...]]] = {}

    def __call__(self, table: str) -> set[tuple[Any, ...]]:
        if table not in self._known:
            self._known[table] = self._rules.visible(self.asker, table)
        return self._known[table]


Answer = tuple[str, object, object]


async def _answers(connection: Connection, world: World, sees: _Sees) -> list[Answer]:
    exams = await catalogue_queries.exams(connection, status=None, before=None, limit=EVERYTHING)
    banks = await catalogue_queries.item_banks(connection, before=None, limit=EVERYTHING)
    audit = await entries(connection, Criteria(), before=None, limit=EVERYTHING)
    answers: list[Answer] = [
        ("exams", {(row["exam_id"],) for row in exams}, sees("exams")),
        ("item banks", {(row["bank_id"],) for row in banks}, sees("item_banks")),
        ("audit", {(row["position"],) for row in audit}, sees("audit_entries")),
    ]
    exam_of = {row["attempt_id"]: row["exam_id"] for row in sees.rows["attempts"]}
    for exam_id in world.exams:
        for name, ask, table in (
            ("attempts", attempt_queries.attempts_at_exam, "attempts"),
            ("results", attempt_queries.results, "attempt_scores"),
        ):
            found = await _page(connection, ask, exam_id)
            expected = {key for key in sees(table) if exam_of[key[0]] == exam_id}
            answers.append((f"{name} at {exam_id}", found, expected))
    for attempt_id in world.attempts:
        attempt = await attempt_queries.attempt(connection, attempt_id)
        shown = attempt is not None and attempt["score"] is not None
        responses = await attempt_queries.responses(connection, attempt_id)
        answers += [
            (f"attempt {attempt_id}", attempt is not None, (attempt_id,) in sees("attempts")),
            (f"score of {attempt_id}", shown, (attempt_id,) in sees("attempt_scores")),
            (
                f"responses of {attempt_id}",
                {(attempt_id, item_id) for item_id in responses},
                {key for key in sees("attempt_responses") if key[0] == attempt_id},
            ),
        ]
    for user_id in world.people:
        known = await person(connection, user_id) is not None
        answers.append((f"person {user_id}", known, (user_id,) in sees("people")))
    return answers


async def _page(
    connection: Connection, ask: Callable[..., Awaitable[list[dict[str, Any]]]], exam_id: str
) -> set[tuple[str]]:
    return {(row["attempt_id"],) for row in await ask(connection, exam_id, after=None, limit=EVERYTHING)}
