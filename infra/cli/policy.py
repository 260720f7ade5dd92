"""`megacity policy`: rules of access on files, without database or settings; and those of an installation."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from infra.cli.console import EXIT_FAILED, CommandError
from infra.cli.log_options import moment
from infra.cli.policy_log import explain, report, simulate_recorded

if TYPE_CHECKING:
    from domain.policies.access import AccessRequest
    from domain.policies.policy_set import ActiveRule
    from domain.policies.rule import Rule
    from infra.settings import Settings

app = typer.Typer(help="Rules of access: try them out, explain what they decided.", no_args_is_help=True)

app.command("explain")(explain)
app.command("report")(report)

Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=moment, metavar="TIME", help="Recorded then or later: ISO 8601, or 7d."),
]
Until = Annotated[
    datetime | None, typer.Option("--until", parser=moment, metavar="TIME", help="Recorded before then.")
]
RuleFile = Annotated[Path, typer.Argument(metavar="FILE", help="A rule as JSON.")]

PROPOSED = "policy-00000000-0000-7000-8000-000000000000"
"""The id of a rule that has none yet."""


@app.command("check")
def check(file: RuleFile) -> None:
    """Check a rule, and print the Cedar policy that it is compiled to. Exit code 2 names each fault."""
    from domain.policies.cedar import cedar_text
    from infra.policies.engine import parsed

    text = cedar_text(PROPOSED, _read_rule(file))
    parsed(text)
    typer.echo(text, nl=False)


@app.command("try")
def try_out(
    file: RuleFile,
    request: Annotated[Path, typer.Option("--request", help="JSON: principal, action, resource, context.")],
    alone: Annotated[
        bool, typer.Option("--alone", help="Without the rules that every installation begins with.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what would be decided with this rule, and by which rules. Exit code 1 where it is denied."""
    from domain.policies.policy_set import ActiveRule, PolicySet
    from infra.policies.engine import PreparedSet
    from infra.policies.founding import founding_rules

    tried = ActiveRule(PROPOSED, _read_rule(file))
    rules = (tried, *(() if alone else founding_rules()))
    policy_set = PolicySet(position=0, since=None, until=None, rules=rules)
    decision = PreparedSet(policy_set).decide(_read_request(request))
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(decision), indent=2, ensure_ascii=False))
    else:
        typer.echo(f"{'allow' if decision.allowed else 'deny'} ({decision.reason.replace('_', ' ')})")
        for line in _explained(rules, decision.decided_by):
            typer.echo(line)
        if decision.audited:
            typer.echo("  its use is recorded")
    if not decision.allowed:
        raise typer.Exit(EXIT_FAILED)


@app.command("simulate")
def simulate(
    file: RuleFile,
    requests: Annotated[
        Path | None,
        typer.Option(
            "--requests", help="JSON Lines: one request a line. Absent: what this installation has recorded."
        ),
    ] = None,
    replaces: Annotated[
        str | None, typer.Option("--replaces", metavar="POLICY", help="In whose place the rule would come.")
    ] = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """List which decisions would be others with this rule in force.

    Without `--requests`: of those that this installation has recorded, in the last four weeks if nothing else
    is said, with the rules in force there. With it: with the founding rules, and without a database.
    """
    rule = _read_rule(file)
    if requests is None:
        decisions, found, proposed = simulate_recorded(rule, replaces, since, until)
    else:
        from infra.policies.founding import founding_set
        from infra.policies.simulation import flips, with_proposal

        in_force = founding_set()
        proposed = with_proposal(in_force, PROPOSED, rule, replaces)
        decisions, found = flips(in_force, proposed, ((each, 1) for each in _read_requests(requests)))
    names = {each.policy_id: each.rule.id for each in proposed.rules}
    for each in found:
        turned = "deny -> allow" if each.now == "allow" else "allow -> deny"
        by = "nothing permits it" if each.decided_by is None else names[each.decided_by]
        typer.echo(f"{each.count:8}  {turned}  {each.role or '-':24} {each.zone or '-':12} {by}")
    typer.echo(f"{sum(each.count for each in found)} of {decisions} decisions would be others")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a rule."""
    from domain.policies.rule import Rule

    typer.echo(json.dumps(msgspec.json.schema(Rule), indent=2, ensure_ascii=False))


@app.command("catalogue")
def catalogue() -> None:
    """List the actions and attributes that rules may speak of.

    An action that is marked `enforced` is asked by the routes themselves; one that is marked `on-request` is
    only answered through POST /access/decisions, and a forbid of it binds nobody who does not ask.
    """
    from domain.policies.catalogue import APPLIES_TO, ASKED_BY_ROUTES, ATTRIBUTES

    for action, kinds in APPLIES_TO.items():
        asked = "enforced" if action in ASKED_BY_ROUTES else "on-request"
        typer.echo(f"action     {action:36} {asked:10} {' '.join(kinds)}")
    for name, attribute in ATTRIBUTES.items():
        always = "" if attribute.required else "?"
        typer.echo(
            f"attribute  {name + always:36} {attribute.kind:8} {' '.join(attribute.values or ())}".rstrip()
        )


@app.command("founding")
def founding() -> None:
    """Print the rules that every installation begins with, as Cedar policies."""
    from domain.policies.cedar import cedar_text
    from infra.policies.founding import founding_rules

    typer.echo("\n".join(cedar_text(each.policy_id, each.rule) for each in founding_rules()), nl=False)


@app.command("found")
def found(
    operator: Annotated[str, typer.Option("--operator", help="Who orders it, for the log.")] = "command-line",
) -> None:
    """Record the founding rules as active in the log. Those that were recorded before stay as they are."""
    from infra.settings import load_settings

    recorded = asyncio.run(_found(load_settings(), operator))
    typer.echo(f"{recorded} of the founding rules came into force")


async def _found(settings: "Settings", operator: str) -> int:
    from commands.policies import found_policies
    from infra.cli.zone import operator_context
    from infra.composition import new_id, open_system, open_write_side
    from infra.policies.founding import founding_rules

    with open_system(settings) as system:
        async with open_write_side(settings, system.database) as write:
            outcomes = await found_policies(write, operator_context(operator, new_id), founding_rules())
    return sum(bool(outcome.events) for outcome in outcomes)


def _explained(rules: "tuple[ActiveRule, ...]", decided_by: tuple[str, ...]) -> list[str]:
    by_id = {each.policy_id: each.rule for each in rules}
    return [
        f"  {by_id[policy_id].effect} {by_id[policy_id].id}: {by_id[policy_id].title['en']}"
        for policy_id in decided_by
    ]


def _read_rule(file: Path) -> "Rule":
    from domain.policies.checking import UnusablePolicy, read_rule

    try:
        return read_rule(_bytes_of(file))
    except UnusablePolicy as error:
        faults = "\n".join(
            f"{each['pointer'] or '/'}: {each['detail']} ({each['code']})" for each in error.errors
        )
        raise CommandError(f"{file}: {error.title}\n{faults}") from error


def _read_request(file: Path) -> "AccessRequest":
    return _request(_bytes_of(file), str(file))


def _read_requests(file: Path) -> "Iterator[AccessRequest]":
    for number, line in enumerate(_bytes_of(file).splitlines(), 1):
        if line.strip():
            yield _request(line, f"{file}, line {number}")


def _request(document: bytes, place: str) -> "AccessRequest":
    from domain.policies.access import AccessRequest

    try:
        return msgspec.json.decode(document, type=AccessRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommandError(
            f"{place}: {error}.", remedy="`megacity policy catalogue` lists the names."
        ) from error


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
