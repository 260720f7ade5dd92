"""`megacity policy` on an installation: decisions explained, proposals tried out, the week."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from infra.cli.console import EXIT_FAILED, CommandError, output, printable

if TYPE_CHECKING:
    from domain.policies.events import Flips
    from domain.policies.policy_set import PolicySet
    from infra.policies.recorded import Explained
    from infra.policies.report import WeekOfPolicies

SIMULATED = timedelta(days=28)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def explain(
    decision_id: Annotated[str, typer.Argument(metavar="DECISION", help="As the answer named it.")],
    as_json: AsJson = False,
) -> None:
    """Derive a decision again, by the rules of its position. Exit code 1 where it would be another."""
    from infra.policies.recorded import explain as explained

    with _installation() as (feed, connection):
        row = connection.execute(
            "SELECT position FROM read.access_decisions WHERE decision_id = %s"
            " AND decided_at > now() - interval '365 days'",
            [decision_id],
        ).fetchone()
        if row is None:
            raise CommandError(
                f"No decision {printable(decision_id)} is recorded.",
                remedy="Ordinary permits are only counted, records are kept for a year, and one that was "
                "made a moment ago may not be in the read model yet.",
            )
        found = explained(feed, row[0])
    if as_json:
        typer.echo(json.dumps(_explained_as_json(found), indent=2, ensure_ascii=False))
    else:
        for line in _explained(found):
            output().print(line, soft_wrap=True, markup=False)
    if found.faults:
        raise typer.Exit(EXIT_FAILED)


def simulate_recorded(
    rule: Any, replaces: str | None, since: datetime | None, until: datetime | None
) -> "tuple[int, tuple[Flips, ...], PolicySet]":
    """A rule over the decisions that an installation has recorded, under the rules in force there now."""
    from domain.policies.events import Proposal
    from domain.policies.rule import canonical
    from infra.cli.policy import PROPOSED
    from infra.policies.founding import founding_set
    from infra.policies.history import history_as_of
    from infra.policies.recorded import RecordedDecisions
    from infra.policies.simulation import with_proposal

    now = datetime.now(UTC)
    until = until or now
    with _installation() as (feed, _):
        history = history_as_of(feed)
        in_force = history.at(now) if history.position else founding_set()
        if replaces is not None and replaces not in {each.policy_id for each in in_force.rules}:
            raise CommandError(f"{printable(replaces)} is not in force, so nothing can replace it.")
        simulation = RecordedDecisions(feed).simulated(
            PROPOSED,
            Proposal(rule=canonical(rule), replaces=replaces),
            in_force,
            since or until - SIMULATED,
            until,
        )
    return simulation.decisions, simulation.flips, with_proposal(in_force, PROPOSED, rule, replaces)


def report(
    week: Annotated[
        str | None, typer.Option("--week", metavar="YYYY-Www", help="Absent: the week that runs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What happened to the rules of access in a week, which are in force, and what waits for approval."""
    from infra.policies.report import NoSuchWeek, changes_in_week, name_of_week

    now = datetime.now(UTC)
    with _installation() as (feed, _):
        try:
            found = changes_in_week(feed, week or name_of_week(now), now)
        except NoSuchWeek as error:
            raise CommandError(
                f"{printable(str(error))} is no week.", remedy="Say 2026-W10, as ISO 8601 counts weeks."
            ) from error
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(found), indent=2, ensure_ascii=False))
        return
    for line in _week(found):
        output().print(line, soft_wrap=True, markup=False)


@contextmanager
def _installation() -> Iterator[tuple[Any, Any]]:
    """The log as a feed, and a connection that reads the read models."""
    import psycopg

    from infra.composition import open_system
    from infra.postgres.roles import PROJECTOR
    from infra.settings import load_settings

    with (
        open_system(load_settings()) as system,
        psycopg.connect(system.conninfo(PROJECTOR), autocommit=True) as connection,
    ):
        yield system.feed, connection


def _explained(found: "Explained") -> Iterator[str]:
    recorded = found.recorded
    by_id = {each.policy_id: each.rule for each in found.rules.rules}
    answer = "allowed" if recorded.allowed else "denied"
    yield f"{answer} ({recorded.reason.replace('_', ' ')}) at {recorded.decided_at.isoformat()}"
    asked = f"{recorded.action} {recorded.resource_kind} {recorded.resource_id}"
    yield printable(f"  {recorded.principal_id}: {asked}")
    for policy_id in recorded.decided_by:
        rule = by_id.get(policy_id)
        named = "no rule of that position" if rule is None else f"{rule.effect} {rule.id}: {rule.title['en']}"
        yield f"  {policy_id}  {named}"
    if found.request is not None:
        facts = msgspec.to_builtins(found.request)
        for part in ("principal", "resource", "context"):
            told = ", ".join(f"{name} {value}" for name, value in facts[part].items())
            yield printable(f"  {part}: {told}")
        for stream_id, version in sorted(found.request.versions.items()):
            yield f"  read at: {stream_id} {version}"
    yield f"  rules as of position {recorded.policies_position}" + (
        "" if recorded.policies_since is None else f", from {recorded.policies_since.isoformat()} on"
    )
    if not found.faults:
        yield "derived again: the same"
    for fault in found.faults:
        yield printable(f"derived again: {fault}")


def _explained_as_json(found: "Explained") -> dict[str, Any]:
    decided: set[str] = set(found.recorded.decided_by)
    if found.derived is not None:
        decided |= set(found.derived.decided_by)
    return {
        "decision": msgspec.to_builtins(found.recorded),
        "request": msgspec.to_builtins(found.request),
        "derived": msgspec.to_builtins(found.derived),
        "rules": {
            each.policy_id: msgspec.to_builtins(each.rule)
            for each in found.rules.rules
            if each.policy_id in decided
        },
        "agrees": not found.faults,
        "faults": list(found.faults),
    }


def _week(found: "WeekOfPolicies") -> Iterator[str]:
    yield f"{found.week}: {len(found.changes)} changes to the rules of access"
    for each in found.changes:
        what = each.rule or "the end of another policy"
        yield printable(f"  {each.at.isoformat(timespec='seconds')}  {each.change:<10}  {what}  by {each.by}")
        yield f"      {each.policy_id}" + ("" if each.detail is None else f", {each.detail}")
        if each.reason is not None:
            yield "      " + printable(" ".join(each.reason.split()))
    yield f"in force: {len(found.in_force)}"
    for rule in found.in_force:
        yield f"  {rule.effect:<6}  {rule.rule}: {printable(rule.title['en'])}"
    if found.awaiting_approval:
        yield f"waiting for approval: {len(found.awaiting_approval)}"
    for waiting in found.awaiting_approval:
        lacks = ", has to be simulated first" if waiting.lacks_simulation else ""
        named = waiting.rule or "the end of another policy"
        yield f"  {waiting.policy_id}  {named}, proposed by {', '.join(waiting.proposers)}{lacks}"
