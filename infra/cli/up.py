"""`megacity up`: everything in one go, on embedded parts, with sample data."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.policies import found_policies
from commands.zones import open_first_zones
from infra.cli.console import CommandError, output, progress
from infra.cli.zone import operator_context
from infra.composition import fed_by_kafka, new_id, open_write_side, order_free_projections
from infra.database import Database
from infra.observability.logging import configure_logging
from infra.policies.founding import founding_rules
from infra.postgres.migrate import migrate
from infra.postgres.runlock import RunLock
from infra.sample.demo import Demo, set_up_demo
from infra.server import PortTaken
from infra.settings import Settings, load_settings
from infra.supervision.supervisor import NotReady, Supervisor


def command(  # noqa: PLR0913, PLR0917 - the options of a command line, given by name
    once: Annotated[bool, typer.Option("--once", help="Do the main job, then stop.")] = False,
    sample: Annotated[bool, typer.Option(help="Play the sample data on first start.")] = True,
    with_kafka: Annotated[
        bool,
        typer.Option(
            "--with-kafka",
            help="Each role in a process of its own, and Kafka between them: the broker that"
            " KAFKA_BOOTSTRAP_SERVERS names, else an embedded one.",
        ),
    ] = False,
    with_redis: Annotated[
        bool,
        typer.Option(
            "--with-redis",
            help="Rate limits are counted for all processes together: in the Redis that REDIS_URL names,"
            " else in an embedded Valkey.",
        ),
    ] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
) -> None:
    """Start everything: database, migrations, demo accounts, sample data, server."""
    settings = load_settings()
    configure_logging("warning", settings.log.format)
    by_kafka = _fed_by_kafka(settings, with_kafka=with_kafka)
    with ExitStack() as stack:
        stack.enter_context(RunLock(settings.run_lock_file))
        supervisor = Supervisor(
            settings,
            host or settings.http.host,
            settings.http.port if port is None else port,
            progress().print,
            fed_by_kafka=by_kafka,
            with_redis=with_redis,
        )
        stack.callback(supervisor.stop)
        supervisor.stop_on_signals()
        demo = _start(settings, supervisor)
        supervisor.watch()
        if sample:
            _play_samples(settings, supervisor.base_url, demo)
        _say_where_to_look(supervisor, demo)
        if not once:
            supervisor.wait_to_be_stopped()


def _fed_by_kafka(settings: Settings, *, with_kafka: bool) -> Sequence[str] | None:
    """The projections that Kafka is to feed; None without Kafka."""
    chosen = [each.name for each in fed_by_kafka(settings)]
    if with_kafka:
        return chosen or order_free_projections()
    if chosen:
        raise CommandError(
            f"Nothing would feed {', '.join(chosen)}: MEGACITY_KAFKA__PROJECTIONS leaves that to Kafka.",
            remedy="`megacity up --with-kafka`, or leave that setting out.",
        )
    if settings.cat.feed == "kafka":
        raise CommandError(
            "Nobody would decide on responses in adaptive tests: MEGACITY_CAT__FEED leaves that to Kafka.",
            remedy="`megacity up --with-kafka`, or leave that setting out.",
        )
    return None


def _start(settings: Settings, supervisor: Supervisor) -> Demo:
    """Broker, database, schema, demo accounts, processes; returns when all are ready."""
    try:
        database = supervisor.open()
        migrate(database.admin_conninfo, role_secret=database.role_secret, progress=progress().print)
        demo = asyncio.run(_set_up_demo(settings, database))
        supervisor.start()
    except PortTaken as error:
        raise CommandError(
            f"{str(error).capitalize()}.",
            remedy="Choose another one: MEGACITY_HTTP__PORT=8001 make run (0: any free one).",
        ) from error
    except NotReady as error:
        raise CommandError(
            f"{str(error).capitalize()}.", remedy=f"Its log is {error.log_file}.", exit_code=1
        ) from error
    return demo


async def _set_up_demo(settings: Settings, database: Database) -> Demo:
    async with open_write_side(settings, database) as write:
        await open_first_zones(write, operator_context("bootstrap", new_id))
        await found_policies(write, operator_context("bootstrap", new_id), founding_rules())
        return await set_up_demo(
            write, settings.secrets_dir, settings.zone, settings.demo_organization, new_id
        )


def _play_samples(settings: Settings, base_url: str, demo: Demo) -> None:
    from infra.cli.sample import play_on_first_start

    play_on_first_start(settings, base_url, demo)


def _say_where_to_look(supervisor: Supervisor, demo: Demo) -> None:
    from rich.table import Table

    base_url = supervisor.base_url
    out: Any = output()
    out.print()
    out.print(f"[bold]MegaCity answers at {base_url}[/bold]", soft_wrap=True)
    out.print(f"  try the API     {base_url}/docs", soft_wrap=True)
    out.print(f"  its document    {base_url}/openapi.json", soft_wrap=True)
    out.print(f"  health          {base_url}/readyz   figures {base_url}/metrics", soft_wrap=True)
    if supervisor.kafka is None:
        out.print(f"  server log      {_shown(supervisor.processes[-1].log_file)}", soft_wrap=True)
    else:
        out.print(f"  Kafka           {supervisor.kafka}", soft_wrap=True)
        for each in supervisor.processes:
            where = f"{each.base_url}/readyz /metrics" if each.base_url != base_url else ""
            out.print(f"  {each.name:<15} log {_shown(each.log_file)}  {where}".rstrip(), soft_wrap=True)
    table = Table(title="Sign in with", title_justify="left", box=None, pad_edge=False)
    for column in ("role", "e-mail", "password"):
        table.add_column(column, no_wrap=True)
    for person in demo.people:
        table.add_row(person.role, person.email, person.password)
    out.print(table)


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
