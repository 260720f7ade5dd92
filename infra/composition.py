"""Where the services, projections and applications of a process are built and put together."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from random import Random
from typing import Any

import psycopg
import uuid_utils
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from psycopg.rows import dict_row

from commands.api.open_answers import OpenAnswers
from commands.calibrate_bank import BankCalibrations
from commands.forms import Forms
from commands.ports import Clock, KeyedHash
from commands.reactions.cat_engine import CatEngine
from commands.streams import Streams
from commands.write_side import WriteSide
from domain.event_types import EVENTS
from domain.users.role_reviews import ReviewRules
from domain.zones import ZoneId
from infra.access_applied import AccessProjectionApplied
from infra.application import build_app
from infra.auth.credentials import CredentialStore
from infra.auth.oidc_opening import OtherWays, open_other_ways
from infra.auth.opening import SignIn, open_sign_in, outbox_worker, revocation_news
from infra.auth.passwords import PasswordHasher
from infra.auth.refresh import RefreshTokens
from infra.auth.tokens import TokenIssuer, TokenVerifier
from infra.cat_engine import engine_on_kafka, engine_on_log, runs_cat_engine, stream_news
from infra.claims import Pool, PostgresClaims
from infra.database import RECONNECT_TIMEOUT_S, Database, open_database
from infra.due_work import ReadModelDueWork
from infra.event_store.append_log import PostgresEventLog
from infra.event_store.codec import EventCodec, PlainPersonalCodec
from infra.event_store.feed import EventFeed
from infra.event_store.log_feed import LogFeed
from infra.event_store.snapshots import PostgresSnapshots
from infra.http.idempotency_store import IdempotencyStore
from infra.kafka.chosen import kafka_clients, kafka_layout
from infra.kafka.projection_consumers import projection_consumers
from infra.kafka.relay import Relay
from infra.live_responses import ReadModelLiveResponses
from infra.memberships import ReadModelMemberships, keep_memberships
from infra.observability.cat_metrics import CatMetrics
from infra.observability.checker_metrics import CheckerMetrics
from infra.observability.consumer_metrics import ConsumerMetrics
from infra.observability.metrics import EventStoreMetrics, ProjectionMetrics, new_registry
from infra.observability.relay_metrics import RelayMetrics
from infra.observability.sequencer_metrics import SequencerMetrics
from infra.observability.traced_commands import TracedStreams
from infra.observability.tracing import Tracing, open_tracing
from infra.operations import API_VERSION, Operations
from infra.payments.expiry import ReadModelDueSubscriptions, keep_expiring
from infra.payments.webhooks import SignedWebhooks
from infra.policies.engine import CedarEngine
from infra.policies.opening import AccessRules, open_access_rules
from infra.policies.recorded import RecordedDecisions
from infra.policies.wall import PolicyWall
from infra.postgres.pool import CheckedPool
from infra.postgres.roles import PROJECTOR, READER, WRITER, with_options
from infra.projections.checker import Checker
from infra.projections.orders import ProjectionOrders
from infra.projections.rebuilt_first import RebuiltFirst
from infra.projections.runner import ProjectionRunner, no_span
from infra.rate_limits.chosen import open_rate_limits
from infra.read_store import ReadStore
from infra.readiness import ReadinessProbe
from infra.role_reviews import ReadModelRoleReviews, keep_reviewing, review_rules
from infra.rosters import ReadModelRosterLists
from infra.secrets_files import read_or_create_secret
from infra.sequencer.sequencer import Sequencer
from infra.server import (
    WRITING,
    Background,
    Role,
    Supervised,
    follow_deadlines,
    follow_projections,
    keep_calibrating,
    keep_checking,
    listening_socket,
    run_server,
    sweep_expired,
    write_address,
)
from infra.settings import InvalidSettings, Settings
from infra.zone_measures import ReadModelZoneMeasures
from projections.access.projection import AccessProjection
from projections.attempts.projection import AttemptsProjection
from projections.audit.projection import AuditProjection
from projections.calibrations.projection import CalibrationsProjection
from projections.catalogue.projection import CatalogueProjection
from projections.invitations.projection import InvitationsProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.people.projection import PeopleProjection
from projections.policies.projection import PoliciesProjection
from projections.projection import Projection
from projections.role_reviews.projection import RoleReviewsProjection
from projections.subscriptions.projection import SubscriptionsProjection

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid_utils.uuid7())


def keyed_hash(key: bytes) -> KeyedHash:
    return lambda text: hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def all_projections() -> list[Projection]:
    return [
        AccessProjection(),
        InvitationsProjection(),
        PeopleProjection(),
        CatalogueProjection(),
        AttemptsProjection(),
        ItemAnalysisProjection(),
        AuditProjection(),
        CalibrationsProjection(),
        PoliciesProjection(),
        SubscriptionsProjection(),
        RoleReviewsProjection(),
    ]


def order_free_projections() -> tuple[str, ...]:
    """Those that Kafka may feed: neither the order of streams nor a repeated event makes a difference."""
    return tuple(each.name for each in all_projections() if getattr(each, "order_free", False))


def fed_by_kafka(settings: Settings) -> list[Projection]:
    """Those that the settings have fed by Kafka. Raises `InvalidSettings` where one cannot be."""
    known = {each.name: each for each in all_projections()}
    allowed = order_free_projections()
    problems = []
    for name in settings.kafka.projections:
        if name not in known:
            problems.append(f"there is no projection {name!r}; Kafka can feed: {', '.join(allowed)}")
        elif name not in allowed:
            problems.append(
                f"{name} depends on the order of events, or on each coming once: only the log can feed it"
            )
    if problems:
        raise InvalidSettings([f"MEGACITY_KAFKA__PROJECTIONS: {each}" for each in problems])
    return [known[name] for name in dict.fromkeys(settings.kafka.projections)]


def event_codec() -> EventCodec:
    return EventCodec(EVENTS, PlainPersonalCodec())


@dataclass(frozen=True, kw_only=True)
class System:
    """What the command line works with: the log as a feed, the projections, the database."""

    settings: Settings
    database: Database
    feed: LogFeed
    projections: Sequence[Projection]

    def conninfo(self, role: str) -> str:
        return self.database.conninfo(role)


@contextmanager
def open_feed(database: Database) -> Iterator[LogFeed]:
    with LogFeed(database.conninfo(PROJECTOR), event_codec()) as feed:
        yield feed


@contextmanager
def open_system(settings: Settings) -> Iterator[System]:
    with ExitStack() as stack:
        database = stack.enter_context(open_database(settings))
        feed = stack.enter_context(open_feed(database))
        yield System(settings=settings, database=database, feed=feed, projections=all_projections())


@dataclass(frozen=True, kw_only=True)
class ApiServices:
    """Everything that routes ask for: see the `services` modules of the APIs and of `infra.http`."""

    clock: Any
    new_id: Any
    token_verifier: TokenVerifier
    idempotency: IdempotencyStore
    write: WriteSide
    access_tokens: TokenIssuer
    refresh_tokens: RefreshTokens
    sign_in: SignIn
    other_ways: OtherWays
    password_rules: PasswordHasher
    default_zone: ZoneId
    read_store: ReadStore
    consistency_wait_s: float
    next_item_wait_s: float
    open_answers: OpenAnswers
    calibrations: BankCalibrations
    policy_engine: CedarEngine
    access_rules: AccessRules
    simulator: RecordedDecisions
    zone_measures: ReadModelZoneMeasures
    role_reviews: ReadModelRoleReviews
    review_rules: ReviewRules
    class_lists: ReadModelMemberships
    roster_lists: ReadModelRosterLists
    payment_webhooks: SignedWebhooks
    writer_pool: Pool
    projector_pool: Pool

    @property
    def policy_wall(self) -> PolicyWall:
        return self.access_rules.wall


def async_pool(conninfo: str, max_size: int) -> Pool:
    """Not opened yet. Whoever waits for a connection is told after five seconds that there is none."""
    return CheckedPool(
        conninfo,
        min_size=1,
        max_size=max_size,
        open=False,
        timeout=5.0,
        reconnect_timeout=RECONNECT_TIMEOUT_S,
    )


@asynccontextmanager
async def open_services(
    settings: Settings,
    database: Database,
    registry: CollectorRegistry,
    clock: Clock = now,
    tracing: Tracing | None = None,
) -> AsyncIterator[ApiServices]:
    """The services of both APIs, with their pools open."""
    async with AsyncExitStack() as stack:
        writer_pool = async_pool(database.conninfo(WRITER), settings.database.pool_max_size)
        projector_pool = async_pool(database.conninfo(PROJECTOR), 2)
        read_store = ReadStore(database.conninfo(READER), max_size=settings.database.pool_max_size)
        policy_pool = async_pool(database.conninfo(PROJECTOR), 1)
        for pool in (writer_pool, projector_pool, policy_pool, read_store):
            await stack.enter_async_context(pool)
        codec = event_codec()
        log = await stack.enter_async_context(
            PostgresEventLog(
                database.conninfo(WRITER),
                codec,
                EventStoreMetrics.create(registry),
                queue_limit=settings.event_store.queue_limit,
                queue_limit_bytes=settings.event_store.queue_limit_bytes,
                readers=settings.event_store.readers,
            )
        )
        hasher = PasswordHasher(
            max_parallel=settings.auth.password_hashes_in_parallel,
            max_waiting=settings.auth.password_hashes_waiting,
        )
        stack.callback(hasher.close)
        snapshots = await stack.enter_async_context(
            PostgresSnapshots(database.conninfo(WRITER), PlainPersonalCodec())
        )
        streams = (
            Streams(log, clock, new_id, snapshots=snapshots)
            if tracing is None
            else TracedStreams(tracing, log, clock, new_id, snapshots=snapshots)
        )
        email_hash_key = read_or_create_secret(settings.auth.email_hash_key_file)
        refresh_secret = read_or_create_secret(settings.auth.refresh_secret_file)
        sign_in = await open_sign_in(
            settings.auth,
            writer_pool,
            refresh_secret=refresh_secret,
            clock=clock,
            new_id=new_id,
            registry=registry,
        )
        access_rules = await open_access_rules(
            own_pool=policy_pool,
            pool=projector_pool,
            event_log=log,
            decode=codec.decode,
            streams=streams,
            clock=clock,
            new_id=new_id,
            registry=registry,
        )
        other_ways = open_other_ways(settings, writer_pool, secret=refresh_secret, clock=clock)
        stack.push_async_callback(other_ways.close)
        yield ApiServices(
            clock=clock,
            new_id=new_id,
            token_verifier=sign_in.token_verifier,
            idempotency=IdempotencyStore(writer_pool, secret=refresh_secret, new_id=new_id),
            write=WriteSide(
                streams=streams,
                forms=Forms(streams),
                claims=PostgresClaims(writer_pool),
                credentials=CredentialStore(writer_pool, clock=clock),
                hasher=hasher,
                keyed_hash=keyed_hash(email_hash_key),
                clock=clock,
                new_id=new_id,
                grace_s=settings.exam.submission_grace_s,
                mail=sign_in.outbox,
                access_applied=AccessProjectionApplied(writer_pool),
                older_tokens=sign_in.revocations,
            ),
            access_tokens=sign_in.access_tokens,
            refresh_tokens=sign_in.refresh_tokens,
            sign_in=sign_in,
            other_ways=other_ways,
            password_rules=hasher,
            default_zone=settings.zone,
            read_store=read_store,
            consistency_wait_s=settings.consistency_wait_s,
            next_item_wait_s=settings.exam.next_item_wait_s,
            open_answers=OpenAnswers(),
            calibrations=BankCalibrations(ReadModelLiveResponses(projector_pool)),
            policy_engine=CedarEngine(),
            access_rules=access_rules,
            simulator=RecordedDecisions(stack.enter_context(open_feed(database))),
            zone_measures=ReadModelZoneMeasures(projector_pool),
            role_reviews=ReadModelRoleReviews(projector_pool),
            review_rules=review_rules(settings.roles),
            class_lists=ReadModelMemberships(projector_pool),
            roster_lists=ReadModelRosterLists(projector_pool),
            payment_webhooks=SignedWebhooks(settings.payments.webhook_secrets_file),
            writer_pool=writer_pool,
            projector_pool=projector_pool,
        )


@asynccontextmanager
async def open_write_side(settings: Settings, database: Database) -> AsyncIterator[WriteSide]:
    """The write side alone, for the demo set-up."""
    async with open_services(settings, database, new_registry()) as services:
        yield services.write


def projection_runners(
    settings: Settings,
    database: Database,
    feed: EventFeed,
    metrics: ProjectionMetrics,
    tracing: Tracing | None = None,
) -> list[ProjectionRunner]:
    """One runner for each projection that the log feeds, not started."""
    fed_elsewhere = {each.name for each in fed_by_kafka(settings)}
    around = no_span if tracing is None else tracing.page
    conninfo = with_options(database.conninfo(PROJECTOR), "-c synchronous_commit=off")

    def connect() -> psycopg.Connection[dict[str, Any]]:
        # Rows and checkpoint are one transaction: what a crash of the server takes back it takes back
        # of both, and the events are applied again. So nobody need wait for the disk.
        return psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)

    return [
        ProjectionRunner(
            projection,
            feed,
            projector_connections(database) if getattr(projection, "durable", False) else connect,
            batch_size=settings.projections.batch_size,
            poll_interval_s=settings.projections.poll_interval_s,
            gather_s=min(settings.projections.gather_s, getattr(projection, "gather_s", inf)),
            metrics=metrics,
            around=around,
        )
        for projection in all_projections()
        if projection.name not in fed_elsewhere
    ]


def projector_connections(database: Database) -> Callable[[], psycopg.Connection[dict[str, Any]]]:
    conninfo = database.conninfo(PROJECTOR)
    return lambda: psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)


def projection_orders(database: Database, feed: EventFeed) -> ProjectionOrders:
    """Carries out what operators order of projections."""
    return ProjectionOrders(projector_connections(database), feed, event_codec(), all_projections())


def checker(database: Database, metrics: CheckerMetrics | None = None) -> Checker:
    """Holds samples of the read models against the log."""
    return Checker(
        projector_connections(database),
        event_codec(),
        all_projections(),
        random=Random(),  # noqa: S311 - which streams are looked at is no secret
        metrics=metrics,
    )


def projection_loops(
    settings: Settings,
    database: Database,
    feed: EventFeed,
    services: ApiServices,
    registry: CollectorRegistry,
) -> list[Callable[[], Any]]:
    """What looks after the projections."""
    orders = projection_orders(database, feed)
    loops: list[Callable[[], Any]] = [lambda: follow_projections(services, orders)]
    every_s, sample = settings.projections.check_interval_s, settings.projections.check_sample
    if every_s:
        checking = checker(database, CheckerMetrics.create(registry))
        loops.append(lambda: keep_checking(checking, every_s, sample))
    return loops


def sequencer(settings: Settings, database: Database, metrics: SequencerMetrics) -> Sequencer:
    """Not started. Any number may run: one leads."""
    return Sequencer(
        database.conninfo(WRITER),
        busy_interval_s=settings.sequencer.busy_interval_s,
        idle_interval_s=settings.sequencer.idle_interval_s,
        lease_s=settings.sequencer.lease_s,
        metrics=metrics,
    )


def relay(settings: Settings, database: Database, metrics: RelayMetrics) -> Relay:
    """Not started. Any number may run: one leads. Raises `KafkaNotNamed`."""
    return Relay(
        database.conninfo(PROJECTOR), kafka_clients(settings), metrics=metrics, layout=kafka_layout(settings)
    )


@contextmanager
def open_consumers(
    settings: Settings, database: Database, feed: EventFeed, metrics: ConsumerMetrics
) -> Iterator[list[RebuiltFirst]]:
    """A follower of Kafka for each projection that it feeds, not started; any number of processes may run.

    Raises `KafkaNotNamed` and `InvalidSettings`.
    """
    with projection_consumers(
        fed_by_kafka(settings),
        projector_connections(database),
        feed,
        kafka=kafka_clients(settings),
        layout=kafka_layout(settings),
        codec=event_codec(),
        metrics=metrics,
    ) as consumers:
        yield consumers


@contextmanager
def deciders(
    role: Role, settings: Settings, database: Database, write: WriteSide, registry: CollectorRegistry
) -> Iterator[list[Supervised]]:
    """The engine of adaptive tests, or what tells waiting examinees of one elsewhere; not started.

    Raises `KafkaNotNamed`.
    """
    if not runs_cat_engine(role, settings):
        yield [stream_news(database, write)] if role in WRITING else []
        return
    parts = (ConsumerMetrics.create(registry), CatMetrics.create(registry))
    with open_feed(database) as feed, ExitStack() as stack:
        if settings.cat.feed == "log":
            yield [stack.enter_context(engine_on_log(database, write, feed, *parts))]
        else:
            kafka, layout, codec = kafka_clients(settings), kafka_layout(settings), event_codec()
            on_kafka = engine_on_kafka(database, write, feed, *parts, kafka=kafka, layout=layout, codec=codec)
            yield [stack.enter_context(on_kafka)]


def serve_role(  # noqa: PLR0913 - what one process is told, all but three by name
    settings: Settings,
    database: Database,
    role: Role,
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    exit_with_parent: bool,
) -> bool:
    """Serves a role until a signal ends it; False where it could not start. Raises `PortTaken`.

    Roles that answer no API requests still answer `/healthz`, `/readyz` and `/metrics`. Raises
    `TracingPackagesMissing` where traces are on and cannot be made.
    """
    sock = listening_socket(host, port)
    bound_port: int = sock.getsockname()[1]
    registry = new_registry()

    def announce() -> None:
        if role in WRITING:
            write_address(settings, host, bound_port)
        on_ready(f"http://{host}:{bound_port}")

    with open_tracing(role, API_VERSION) if settings.otel.enabled else nullcontext() as tracing:
        lifespan = role_lifespan(settings, database, registry, role, tracing=tracing)
        app = build_app(settings, registry, lifespan, role, tracing)
        return run_server(app, sock, announce, exit_with_parent=exit_with_parent)


def role_lifespan(  # noqa: PLR0913 - what one process is made of
    settings: Settings,
    database: Database,
    registry: CollectorRegistry,
    role: Role,
    clock: Clock = now,
    *,
    tracing: Tracing | None = None,
) -> Lifespan:
    """What a role's application opens when it starts and closes when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            projection_metrics = ProjectionMetrics.create(registry)
            sequencer_metrics = SequencerMetrics.create(registry)
            probe = ReadinessProbe(
                database.conninfo(WRITER),
                projection_metrics,
                sequencer_metrics,
                ready_lag=settings.projections.ready_lag,
                consumers=[CatEngine.name] if runs_cat_engine(role, settings) else [],
            )
            app.state.operations = Operations(registry, probe)
            background = Background()
            if role in ("all", "sequencer"):
                background.runners.append(sequencer(settings, database, sequencer_metrics))
            if role == "relay":
                background.runners.append(relay(settings, database, RelayMetrics.create(registry)))
            if role == "consumer":
                feed = stack.enter_context(open_feed(database))
                metrics = ConsumerMetrics.create(registry)
                background.runners += stack.enter_context(open_consumers(settings, database, feed, metrics))
            # The others handle no commands and no requests: a dozen connections that nobody would use.
            if role not in ("sequencer", "relay", "consumer"):
                services = await stack.enter_async_context(
                    open_services(settings, database, registry, clock, tracing)
                )
                app.state.services = services
                rate_limits = open_rate_limits(settings, registry)
                app.state.rate_limits = await stack.enter_async_context(rate_limits)
                app.state.end_waiting = services.write.streams.news.close
                background.loops += services.sign_in.loops
                background.loops += revocation_news(settings.redis, services.sign_in)
                background.loops += services.access_rules.loops
                if role in ("all", "projector"):
                    feed = stack.enter_context(open_feed(database))
                    background.runners += projection_runners(
                        settings, database, feed, projection_metrics, tracing
                    )
                    background.loops += projection_loops(settings, database, feed, services, registry)
                background.runners += stack.enter_context(
                    deciders(role, settings, database, services.write, registry)
                )
                if role in ("all", "deadlines"):
                    due = ReadModelDueWork(services.projector_pool, settings.exam.submission_grace_s)
                    background.loops.append(lambda: follow_deadlines(services, due))
                    over = ReadModelDueSubscriptions(services.projector_pool)
                    background.loops.append(lambda: keep_expiring(services.write, over))
                    background.loops.append(lambda: keep_memberships(services.write, services.class_lists))
                    background.loops.append(lambda: keep_reviewing(services, settings.roles.check_interval_s))
                    mail = outbox_worker(settings, services.sign_in, services.write)
                    background.loops.append(mail.follow)
                    if settings.cat.calibrate_every_s:
                        every_s = settings.cat.calibrate_every_s
                        background.loops.append(lambda: keep_calibrating(services, every_s))
                if role in WRITING:
                    background.loops.append(lambda: sweep_expired(services))
            await stack.enter_async_context(background.running())
            yield

    return lifespan
