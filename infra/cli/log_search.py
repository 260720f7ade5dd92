"""`megacity log search`: who did what, found by the audit projection's indexes."""

from typing import Annotated, Any

import msgspec
import typer
from psycopg.rows import dict_row

from infra.cli import log_options as options
from infra.cli.console import output, printable, progress
from infra.cli.log_access import open_log, print_line
from projections.audit.projection import AuditProjection
from projections.audit.queries import Criteria, statement


def search(  # noqa: PLR0913, PLR0917 - each is an option of the command
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=100_000, help="At most so many.")] = 50,
    actor: options.Actor = None,
    action: options.ActionOption = None,
    since: options.Since = None,
    until: options.Until = None,
    zone: options.Zone = None,
    event_type: options.EventTypeOption = None,
    category: options.CategoryOption = None,
    after: options.After = 0,
    up_to: options.UpTo = None,
    as_json: options.AsJson = False,
) -> None:
    """Who did what: the newest entries of the audit projection that fit, oldest first."""
    wanted = Criteria(
        actor=actor,
        action=action,
        since=since,
        until=until,
        zone=zone,
        event_type=event_type,
        category=category,
        after=after,
        up_to=up_to,
    )
    options.refuse_empty_range(wanted)
    with open_log() as (system, connection), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SELECT position FROM ops.projections WHERE name = %s", [AuditProjection.name])
        checkpoint = cursor.fetchone()
        found = cursor.execute(*statement(wanted, before=None, limit=count)).fetchall()
        behind = system.feed.head() - (0 if checkpoint is None else checkpoint["position"])
    for entry in reversed(found):
        if as_json:
            print_line(msgspec.json.encode(entry))
        else:
            output().print(_line(entry), soft_wrap=True, markup=False)
    if behind > 0:
        progress().print(f"{behind:,} newer events are not in the audit projection yet")


def _line(entry: dict[str, Any]) -> str:
    where = " ".join(each for each in (entry["zone_id"], entry["org_id"]) if each is not None)
    return (
        f"{entry['position']:>8}  {entry['recorded_at'].isoformat(timespec='milliseconds')}"
        f"  {entry['actor_kind']} {printable(entry['actor_id'])}  {entry['action']:<7} {entry['resource_id']}"
        f"  {entry['type']}  {where or '-'}"
    )
