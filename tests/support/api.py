"""The whole API over a real database: everything that `megacity serve all` runs, in a thread of the tests.

    with running_api(conninfo, folder) as api:
        school = api.school()
        exam = school.exam(items=3)
        student = school.student()
        student.http.post(f"/exams/{exam.exam_id}/attempts")

People are made by the commands themselves, as the bootstrap command makes them; after that everything
goes over HTTP, through a real socket.
"""

import asyncio
import itertools
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import uvicorn

from commands.context import CommandContext
from commands.found_organization import AddServiceClient, FoundOrganization, add_client, found_organization
from commands.register_user import RegisterUser, register_user
from domain.events import Actor
from domain.users.account import GrantedRole
from infra.application import build_app
from infra.composition import new_id, role_lifespan
from infra.database import Database
from infra.http.principal import Principal, RoleGrant
from infra.observability.metrics import new_registry
from infra.observability.tracing import Tracing
from infra.server import Role, Server, listening_socket
from infra.settings import Settings
from tests.support.postgres import ROLE_SECRET

ZONE = "univprep"
PASSWORD = "a long enough password"
TIME_LIMIT_S = 30.0

# No proxy of the environment, and no certificates: loading those takes longer than most requests.
_LOCAL: dict[str, Any] = {
    "timeout": TIME_LIMIT_S,
    "trust_env": False,
    "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
}
_numbers = itertools.count(1)


class Clock:
    """The real time, and what a test has added to it."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


@dataclass
class Api:
    """A running API, and ways to it."""

    base_url: str
    settings: Settings
    database: Database
    clock: Clock
    app: Any
    loop: asyncio.AbstractEventLoop
    _clients: ExitStack = field(default_factory=ExitStack)

    @property
    def services(self) -> Any:
        return self.app.state.services

    @property
    def write(self) -> Any:
        return self.services.write

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The outcome of a coroutine that runs in the server's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(TIME_LIMIT_S)

    def client(self, token: str | None = None) -> httpx.Client:
        return self._clients.enter_context(
            httpx.Client(base_url=f"{self.base_url}/api/v1", headers=bearer(token), **_LOCAL)
        )

    def at_once(self, requests: list[dict[str, Any]], token: str | None = None) -> list[httpx.Response]:
        """Sends all the requests at the same time, each over a connection of its own."""

        async def send() -> list[httpx.Response]:
            async with httpx.AsyncClient(
                base_url=f"{self.base_url}/api/v1",
                headers=bearer(token),
                **_LOCAL,
                limits=httpx.Limits(max_connections=len(requests)),
            ) as client:
                return await asyncio.gather(*(client.request(**request) for request in requests))

        return asyncio.run(send())

    def events(self, stream_id: str) -> list[Any]:
        """What the log holds of a stream, in order."""
        return [recorded.event for recorded in self.recorded(stream_id)]

    def recorded(self, stream_id: str) -> list[Any]:
        return list(self.run(self.write.streams._log.load(stream_id)))

    def token(self, subject_id: str, *roles: RoleGrant, zone_id: str = ZONE) -> str:
        """An access token as signing in gives it, without a password's cost."""
        principal = Principal(subject_id=subject_id, zone_id=zone_id, roles=roles, session_id=new_id())
        return self.services.access_tokens.issue(principal, ttl_s=86_400)[0]

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows as the server's administrator sees them."""
        with psycopg.connect(self.database.admin_conninfo) as connection:
            done = connection.execute(statement, values)
            return done.fetchall() if done.description else []

    def count_hashes(self) -> Callable[[], int]:
        """From now on, how many slow hashes were asked for; the password hasher works on as it is."""
        hasher, counted = self.write.hasher, itertools.count()
        work, latest = hasher._run, [0]

        async def run(*args: Any) -> Any:
            latest[0] = next(counted) + 1
            return await work(*args)

        hasher._run = run
        return lambda: latest[0]

    def same_person(self, person: "Person") -> str:
        """Another token of somebody's, which belongs to another session."""
        held = self.services.token_verifier.verify(person.token)
        return self.token(held.subject_id, *held.roles, zone_id=held.zone_id)

    def person(
        self, *roles: GrantedRole, org_id: str | None = None, zone_id: str = ZONE, password: str = PASSWORD
    ) -> "Person":
        """Somebody with a password, made by the bootstrap command's way."""
        email = f"person-{next(_numbers)}@example.org"
        command = RegisterUser(
            email=email,
            password=password,
            display_name="민지",
            language="ko",
            zone_id=zone_id,
            origin="bootstrap",
            roles=roles,
            org_id=org_id,
        )
        user_id = self.run(register_user(self.write, bootstrap_context(), command)).stream_id
        grants = tuple(RoleGrant(granted.role, granted.org_id) for granted in roles)
        token = self.token(user_id, *grants, zone_id=zone_id)
        return Person(user_id=user_id, token=token, http=self.client(token), email=email)

    def school(self, name: str = "Test school", zone_id: str = ZONE) -> "School":
        founding = FoundOrganization(name=name, zone_id=zone_id)
        org_id = self.run(found_organization(self.write, bootstrap_context(), founding)).stream_id
        teacher = self.person(GrantedRole("teacher", org_id), org_id=org_id, zone_id=zone_id)
        return School(api=self, org_id=org_id, zone_id=zone_id, teacher=teacher)


@dataclass
class Person:
    """Somebody who is signed in; `http` sends their token."""

    user_id: str
    token: str
    http: httpx.Client
    email: str | None = None


@dataclass
class ExamMade:
    exam_id: str
    bank_id: str
    item_ids: list[str]


@dataclass
class School:
    """An organisation with a teacher; the rest is made when it is asked for."""

    api: Api
    org_id: str
    zone_id: str
    teacher: Person

    def service(self, client_secret: str = "a client's secret") -> tuple[str, Person]:
        """A program of the organisation: its client id, and it, signed in."""
        client_id = f"client-{new_id()}"
        adding = AddServiceClient(
            org_id=self.org_id, client_id=client_id, client_secret=client_secret, name="Player"
        )
        self.api.run(add_client(self.api.write, bootstrap_context(), adding))
        token = self.api.token(client_id, RoleGrant("service", self.org_id), zone_id=self.zone_id)
        return client_id, Person(user_id=client_id, token=token, http=self.api.client(token))

    def admin(self) -> Person:
        return self.api.person(
            GrantedRole("org_admin", self.org_id), org_id=self.org_id, zone_id=self.zone_id
        )

    def students(self, count: int) -> list[Person]:
        """People whom the organisation enrols: no password, so no hash is waited for."""
        admin_token = self.api.token(
            "user-" + new_id(), RoleGrant("org_admin", self.org_id), zone_id=self.zone_id
        )
        references = [f"student-{next(_numbers)}" for _ in range(count)]
        answer = self.api.client(admin_token).post(
            "/examinees", json={"examinees": [{"external_ref": each} for each in references]}
        )
        assert answer.status_code == 200, answer.text
        people = []
        for each in answer.json()["examinees"]:
            token = self.api.token(each["user_id"], RoleGrant("student", self.org_id), zone_id=self.zone_id)
            people.append(Person(user_id=each["user_id"], token=token, http=self.api.client(token)))
        return people

    def student(self) -> Person:
        [only] = self.students(1)
        return only

    def bank(self) -> str:
        answer = self.teacher.http.post("/item-banks", json={"name": "Bank"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["bank_id"])

    def item(self, bank_id: str, content: dict[str, Any], code: str | None = None) -> str:
        answer = self.teacher.http.post(
            f"/item-banks/{bank_id}/items",
            json={"code": code or f"item-{next(_numbers)}", "content": content},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["item_id"])

    def draft(self, item_ids: list[str], **blueprint: Any) -> str:
        body = {"title": {"ko": "모의고사", "en": "Mock exam"}, "items": [{"item_id": i} for i in item_ids]}
        answer = self.teacher.http.post("/exams", json={**body, **blueprint})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["exam_id"])

    def exam(self, contents: list[dict[str, Any]] | None = None, **blueprint: Any) -> ExamMade:
        """A published exam; three choice items unless others are given."""
        bank_id = self.bank()
        contents = [choice_item()] * 3 if contents is None else contents
        item_ids = [self.item(bank_id, content) for content in contents]
        exam_id = self.draft(item_ids, **blueprint)
        answer = self.teacher.http.post(f"/exams/{exam_id}/publish")
        assert answer.status_code == 200, answer.text
        return ExamMade(exam_id=exam_id, bank_id=bank_id, item_ids=item_ids)


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and problem type of an answer that says no."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer.headers["X-Request-Id"]
    return answer.status_code, document["type"].removeprefix("urn:megacity:problem:")


def bootstrap_context() -> CommandContext:
    return CommandContext(
        actor=Actor("operator", "tests"),
        zone_id=None,
        org_id=None,
        correlation_id=new_id(),
        command_id=new_id(),
    )


def choice_item(**changes: Any) -> dict[str, Any]:
    """A multiple choice item whose key is option 2."""
    options = [
        {"id": number, "text": {"ko": f"보기 {number}", "en": f"Option {number}"}} for number in "1234"
    ]
    content = {
        "kind": "multiple_choice",
        "content_area": "reading",
        "stem": {"ko": "어느 것입니까?", "en": "Which one?"},
        "options": options,
        "key": {"options": ["2"]},
    }
    return {**content, **changes}


def eventually(reached: Callable[[], Any], *, within_s: float = TIME_LIMIT_S, every_s: float = 0.05) -> Any:
    """What `reached` answers as soon as that is true; fails when the time is over."""
    gives_up_at = time.monotonic() + within_s
    waiting = threading.Event()
    while True:
        found = reached()
        if found:
            return found
        assert time.monotonic() < gives_up_at, "it did not come about in time"
        waiting.wait(every_s)


@contextmanager
def running_api(
    admin_conninfo: str,
    folder: Path,
    *,
    clock: Clock | None = None,
    role: Role = "all",
    tracing: Tracing | None = None,
    **settings: Any,
) -> Iterator[Api]:
    """Serves a role until the block ends; `settings` are those of `infra.settings.Settings`."""
    # One person of a test asks as fast as a hundred people: limits are on where a test asks for them.
    made = Settings(var_dir=folder, **{"limits": {"enabled": False}, **settings})
    database = Database(admin_conninfo=admin_conninfo, role_secret=ROLE_SECRET)
    clock = clock or Clock()
    registry = new_registry()
    lifespan = role_lifespan(made, database, registry, role, clock, tracing=tracing)
    loops: list[asyncio.AbstractEventLoop] = []

    @asynccontextmanager
    async def watched(app: Any) -> Any:
        async with lifespan(app):
            loops.append(asyncio.get_running_loop())
            yield

    app = build_app(made, registry, watched, role, tracing)
    sock = listening_socket("127.0.0.1", 0)
    ready = threading.Event()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=75,  # as in production: who asks every five seconds is not hung up on
        timeout_graceful_shutdown=5,
    )
    server = Server(config, ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="api", daemon=True)
    thread.start()
    try:
        eventually(lambda: ready.is_set() or not thread.is_alive())
        assert server.started, "the API did not start"
        api = Api(
            base_url=f"http://127.0.0.1:{sock.getsockname()[1]}",
            settings=made,
            database=database,
            clock=clock,
            app=app,
            loop=loops[0],
        )
        with api._clients:
            yield api
    finally:
        server.should_exit = True
        thread.join(TIME_LIMIT_S)
        sock.close()
    assert not thread.is_alive(), "the API did not stop"
