"""One school and its neighbours as a story, and the read API over it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace

import httpx
import msgspec
import numpy as np
import psycopg
from fastapi import FastAPI
from psycopg.rows import dict_row

from domain.cat.logistic import LogisticItems
from domain.classes.events import ClassClosed
from domain.exams.adaptive import AdaptiveRules, PretestPlan
from domain.identifiers import stream_id
from domain.items.events import ItemRevised
from domain.items.responses import ChosenOptions, GivenNumber
from domain.organizations.events import OrganizationFounded
from domain.users.events import RoleLapsed, UserDeactivated
from infra.http.errors import InvalidToken
from infra.http.principal import Principal, RoleGrant
from infra.http.problems import install_problem_handlers
from infra.postgres.roles import PROJECTOR, READER, role_conninfo
from infra.projections.rebuild import rebuild
from infra.read_store import ReadStore
from projections.access.projection import AccessProjection
from projections.attempts.projection import AttemptsProjection
from projections.audit.projection import AuditProjection
from projections.calibrations.projection import CalibrationsProjection
from projections.catalogue.projection import CatalogueProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.people.projection import PeopleProjection
from read_api.router import build_read_router
from tests.support.adaptive_story import AdaptiveExam, publish_adaptive, take_adaptive
from tests.support.http import NoPolicyWall
from tests.support.postgres import ROLE_SECRET
from tests.support.recorded_calibrations import CALIBRATION_EVENTS
from tests.support.story import (
    BEGIN,
    ORG,
    OTHER_ORG,
    ZONE,
    Story,
    StoryFeed,
    a_choice_item,
    a_numeric_item,
    a_uuid7,
)

PROJECTIONS = [
    AccessProjection(),
    PeopleProjection(),
    CatalogueProjection(),
    AttemptsProjection(),
    ItemAnalysisProjection(),
    AuditProjection(),
    CalibrationsProjection(),
]
ORG_ELSEWHERE = stream_id("organization", a_uuid7(0xFFFD))
NOW = BEGIN + timedelta(seconds=600)
RIGHT, WRONG = ChosenOptions(("1",)), ChosenOptions(("2",))


@dataclass
class School:
    """A story with names for what the tests talk about."""

    story: Story
    bank: str
    items: list[str]
    exams: dict[str, str]
    people: dict[str, str]
    attempts: dict[str, str]
    adaptive: dict[str, AdaptiveExam] = field(default_factory=dict)


def a_school() -> School:
    story = Story()
    for org, name in ((ORG, "School"), (OTHER_ORG, "Other school")):
        story.add(org, OrganizationFounded(name=name, zone_id=ZONE), org_id=org)
    bank = story.bank("Mathematics")
    items = [story.item(bank, f"q{n}", a_choice_item()) for n in range(2)]
    items.append(story.item(bank, "number", a_numeric_item()))
    revised = a_choice_item(("a", "b"), stem="Which of these?")
    story.add(items[0], ItemRevised(bank_id=bank, code="q0", item_version=2, content=revised))
    people = {
        "teacher": story.person(("teacher", ORG), name="선생님"),
        "mina": story.person(("student", ORG), name="미나"),
        "juno": story.person(("student", ORG), name="준오"),
        "idle": story.person(("student", ORG), name="아직"),
        "stranger": story.person(("student", OTHER_ORG), org_id=OTHER_ORG, name="Stranger"),
    }
    people |= _others(story, people)
    with story.by(people["teacher"]):
        exams = {
            "at_once": story.exam(items, attempts_allowed=2),
            "by_hand": story.exam(items, release="by_hand"),
            "after_closing": story.exam(items[:2], release="after_closing"),
            "in_zone": story.exam(items[2:], audience="zone", release="by_hand"),
            "draft": story.draft(items),
        }
    attempts = {
        "mina at_once": story.take(exams["at_once"], people["mina"], [RIGHT, WRONG, GivenNumber("12.5")]),
        "juno at_once": story.take(exams["at_once"], people["juno"], [RIGHT, None, GivenNumber("3")]),
        "mina by_hand": story.take(exams["by_hand"], people["mina"], [RIGHT, RIGHT, None]),
        "juno by_hand": story.start(exams["by_hand"], people["juno"]),
        "mina after_closing": story.take(exams["after_closing"], people["mina"], [WRONG, RIGHT]),
        "stranger in_zone": story.take(exams["in_zone"], people["stranger"], [GivenNumber("12.4")]),
        "mina again": story.start(exams["at_once"], people["mina"], ordinal=2, limit_s=None),
    }
    story.respond(attempts["juno by_hand"], items[0], WRONG)
    story.respond(attempts["juno by_hand"], items[0], RIGHT)
    school = School(story, bank, items, exams, people, attempts)
    with story.by(people["teacher"]):
        _adaptive_exams(school)
    _calibrate(story, bank, "calibration-here")
    _a_school_elsewhere(school)
    return school


def _others(story: Story, people: dict[str, str]) -> dict[str, str]:
    """Everybody else who ever looks: with one role, with two, with one that was taken away."""
    others = {
        "class teacher": story.person(("teacher", ORG), name="담임"),
        "class tutor": story.person(("tutor", ORG), name="Tutor"),
        "idle teacher": story.person(("teacher", ORG), name="Without a class"),
        "lapsed teacher": story.person(("teacher", ORG), name="Was here"),
        "left": story.person(("student", ORG), name="Left"),
        "parent": story.person(("parent", None), org_id=None, name="엄마"),
        "asking parent": story.person(("parent", None), org_id=None, name="Not yet"),
        "teaching parent": story.person(("teacher", ORG), ("parent", None), name="Both"),
        "other teacher": story.person(("teacher", OTHER_ORG), org_id=OTHER_ORG, name="Elsewhere"),
        "zone teacher": story.person(("student", None), ("teacher", None), org_id=None, name="Everywhere"),
        "org_admin": story.person(("org_admin", ORG), name="Office"),
        "other org_admin": story.person(("org_admin", OTHER_ORG), org_id=OTHER_ORG, name="Other office"),
        "zone_admin": story.person(("zone_admin", None), org_id=None, name="Zone"),
        "sys_admin": story.person(("sys_admin", None), org_id=None, name="System"),
        "teaching sys_admin": story.person(
            ("sys_admin", None), ("teacher", None), ("org_admin", ORG), org_id=None, name="Two hats"
        ),
    }
    taught = [people["mina"], others["left"]]
    teachers = [others["class teacher"], others["class tutor"], others["lapsed teacher"]]
    story.school_class(ORG, teachers=teachers, students=taught)
    over = story.school_class(ORG, teachers=[others["idle teacher"]], students=[people["juno"]])
    story.add(over, ClassClosed(reason="the year is over"))
    story.add(others["lapsed teacher"], RoleLapsed(role="teacher", org_id=ORG, reason="removed"))
    story.add(others["left"], UserDeactivated(reason="left the school"))
    story.link(others["parent"], people["mina"])
    story.link(others["teaching parent"], people["juno"])
    story.link(others["asking parent"], people["mina"], approved=False)
    return others


def _adaptive_exams(school: School) -> None:
    """One whose keys are kept, one that shows them, and one whose results are not released yet."""
    for name, blueprint in {
        "adaptive": {"release": "at_once"},
        "adaptive shown": {"release": "at_once", "shows_key": True},
        "adaptive by_hand": {"release": "by_hand", "shows_key": True},
    }.items():
        made = _adaptive_exam(school.story, seed=len(school.adaptive), **blueprint)
        school.adaptive[name] = made
        school.exams[name] = made.exam_id
        rng = np.random.default_rng(len(school.adaptive))
        for person, answers, hands_in in (("mina", None, True), ("juno", 2, False)):
            school.attempts[f"{person} {name}"] = take_adaptive(
                school.story, made, school.people[person], 0.4, rng, answers=answers, hands_in=hands_in
            )


def _adaptive_exam(story: Story, seed: int, *, shows_key: bool = False, **blueprint: object) -> AdaptiveExam:
    rng = np.random.default_rng(seed)
    bank = LogisticItems.of(rng.uniform(0.8, 2.0, 9), rng.normal(size=9), 0.2, 1.0)
    rules = AdaptiveRules(
        max_items=5,
        stop_se=None,
        shows_key=shows_key,
        pretest=PretestPlan(items=1, first_position=2, last_position=3),
    )
    return publish_adaptive(story, bank, rules, pretest=2, **blueprint)


def _calibrate(story: Story, bank: str, calibration_id: str) -> None:
    """Everything that is ever recorded of a calibration."""
    for event in CALIBRATION_EVENTS.values():
        named = hasattr(event, "calibration_id")
        story.add(bank, msgspec.structs.replace(event, calibration_id=calibration_id) if named else event)


def _a_school_elsewhere(school: School) -> None:
    """Another organisation in another zone, with some of everything."""
    story = school.story
    story.zone_id, story.org_id = "kzone", ORG_ELSEWHERE
    story.add(ORG_ELSEWHERE, OrganizationFounded(name="Elsewhere", zone_id="kzone"))
    bank = story.bank("Hangul")
    _calibrate(story, bank, "calibration-elsewhere")
    exam = story.exam([story.item(bank, "k", a_choice_item())], audience="zone")
    student = story.person(("student", ORG_ELSEWHERE), org_id=ORG_ELSEWHERE, name="Elsewhere")
    school.people["other zone"] = student
    school.people["other zone admin"] = story.person(("zone_admin", None), org_id=None, name="Zone")
    story.take(exam, student, [RIGHT])
    take_adaptive(story, _adaptive_exam(story, seed=9), student, 0.0, np.random.default_rng(9))
    story.zone_id, story.org_id = ZONE, ORG


def project(conninfo: str, story: Story) -> None:
    """Makes the rows anew, and writes the log's positions, which consistency tokens are resolved with."""
    with psycopg.connect(conninfo) as admin, admin.cursor() as cursor:
        [(known,)] = cursor.execute("SELECT coalesce(max(position), 0) FROM log.positions").fetchall()
        more = [each for each in story.events if each.position > known]
        cursor.executemany(
            "INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)"
            " VALUES (%s, %s, '', '', '', %s)",
            [(each.recorded.stream_id, each.recorded.version, bytes(32)) for each in more],
        )
        cursor.executemany(
            "INSERT INTO log.positions (position, append_id, leaf)"
            " SELECT %s, append_id, leaf FROM log.events WHERE stream_id = %s AND version = %s",
            [(each.position, each.recorded.stream_id, each.recorded.version) for each in more],
        )
    as_projector = role_conninfo(conninfo, PROJECTOR, ROLE_SECRET)
    with psycopg.connect(as_projector, row_factory=dict_row, autocommit=True) as connection:
        for projection in PROJECTIONS:
            rebuild(projection, StoryFeed(story), connection)


def principal(user_id: str, *roles: tuple[str, str | None], zone_id: str = ZONE, **more) -> Principal:
    grants = tuple(RoleGrant(role, org) for role, org in roles)
    return Principal(subject_id=user_id, zone_id=zone_id, roles=grants, session_id="tests", **more)


class FakeVerifier:
    """A token is the name of whoever holds it, with hyphens for spaces."""

    def __init__(self, principals: dict[str, Principal]) -> None:
        self._by_token = {name.replace(" ", "-"): each for name, each in principals.items()}

    def verify(self, token: str) -> Principal:
        if token not in self._by_token:
            raise InvalidToken(reason="unknown")
        return self._by_token[token]


def an_app(conninfo: str, principals: dict[str, Principal], *, consistency_wait_s: float = 5.0) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app):
        reader = role_conninfo(conninfo, READER, ROLE_SECRET)
        async with ReadStore(reader, max_size=4, wait_s=2.0) as read_store:
            app.state.services = SimpleNamespace(
                read_store=read_store,
                clock=lambda: NOW,
                token_verifier=FakeVerifier(principals),
                policy_wall=NoPolicyWall(),
                consistency_wait_s=consistency_wait_s,
            )
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(build_read_router())
    install_problem_handlers(app)
    return app


class Client:
    """Asks as somebody: `client.get("teacher", "/exams")`."""

    def __init__(self, send: Callable[..., httpx.Response]) -> None:
        self._send = send

    def get(self, who: str | None, path: str, status: int | None = 200, **options):
        headers = options.pop("headers", {})
        if who is not None:
            headers = {**headers, "Authorization": f"Bearer {who.replace(' ', '-')}"}
        answer = self._send(f"/api/v1{path}", headers=headers, **options)
        assert status in {None, answer.status_code}, answer.text
        return answer

    def problem(self, who: str | None, path: str, status: int, code: str, **options):
        answer = self.get(who, path, status, **options).json()
        assert answer["type"] == f"urn:megacity:problem:{code}"
        return answer


@contextmanager
def client_of(app: FastAPI) -> Iterator[Client]:
    """Calls the application in process, from first to last in one event loop."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def begin() -> httpx.AsyncClient:
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app)
            return await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://megacity.test")
            )

        http = runner.run(begin())
        try:
            yield Client(lambda path, **options: runner.run(http.get(path, **options)))
        finally:
            runner.run(stack.aclose())
