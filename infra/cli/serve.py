"""`megacity serve`: one process in one role, against a database that is there."""

import signal
from types import FrameType
from typing import Annotated

import structlog
import typer

from infra.cli.console import CommandError
from infra.composition import fed_by_kafka, order_free_projections, serve_role
from infra.database import open_database
from infra.kafka.port import KafkaNotNamed
from infra.observability.logging import configure_logging
from infra.postgres.migrate import pending
from infra.server import PortTaken, Role
from infra.settings import load_settings


def command(
    role: Annotated[Role, typer.Argument(help="What this process does.")] = "all",
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    exit_with_parent: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run one role, or all of them, against a database that is already there."""
    settings = load_settings()
    on_kafka = role in ("relay", "consumer") or (role == "cat-engine" and settings.cat.feed == "kafka")
    if on_kafka and settings.kafka.bootstrap_servers is None:
        raise KafkaNotNamed
    if role == "consumer" and not settings.kafka.projections:
        raise CommandError(
            "No projection is to be fed by Kafka, so there is nothing to consume.",
            remedy=f"Name some: MEGACITY_KAFKA__PROJECTIONS={','.join(order_free_projections())}",
        )
    fed_by_kafka(settings)  # refuses what cannot be fed, before a database is started
    configure_logging(settings.log.level, settings.log.format)
    signal.signal(signal.SIGTERM, _end_in_order)
    # Into the log, which may be read by a machine, like everything else that this process has to say.
    tell = structlog.get_logger("serve").info
    with open_database(settings, tell) as database:
        missing = pending(database.admin_conninfo)
        if missing:
            raise CommandError(
                f"{len(missing)} migrations are not applied yet.", remedy="Run `megacity migrate` first."
            )
        try:
            served = serve_role(
                settings,
                database,
                role,
                host=host or settings.http.host,
                port=settings.http.port if port is None else port,
                on_ready=lambda url: tell(f"{role} answers at {url}"),
                exit_with_parent=exit_with_parent,
            )
        except PortTaken as error:
            raise CommandError(
                f"{str(error).capitalize()}.",
                remedy="Choose another one: --port N, or MEGACITY_HTTP__PORT=N (0: any free one).",
            ) from error
    if not served:
        raise CommandError("The server could not start; the log above says why.", exit_code=1)


def _end_in_order(number: int, frame: FrameType | None) -> None:
    """Ends by way of every `finally`.

    Uvicorn stops gracefully and then raises the signal anew, which by itself would end the process on the
    spot: an embedded database that this process started would be left running.
    """
    del number, frame
    raise SystemExit
