"""`megacity sample`: play sample exams and recorded responses through the API."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import typer

from infra.cli.console import CommandError, output, progress
from infra.sample.adaptive_player import EXAMINEES, AdaptivePlayReport, play_adaptive
from infra.sample.adaptive_summary import print_adaptive
from infra.sample.api_client import PlayStopped
from infra.sample.datasets import (
    NO_ANSWER,
    DatasetError,
    MissingSamples,
    ResponseData,
    load_lsat7,
    load_responses,
)
from infra.sample.demo import Demo, DemoPlan, load_demo_plan
from infra.sample.player import CONCURRENCY, PATIENCE_S, PlayReport, play_data_set
from infra.sample.progress import Troubles
from infra.sample.report import print_analysis
from infra.sample.sample_exam import publish_sample_exam
from infra.settings import Settings, load_settings

T = TypeVar("T")

EXIT_INTERRUPTED = 130

DATA_SETS: dict[str, tuple[Callable[[], ResponseData], str]] = {
    "LSAT7": (load_lsat7, "1,000 examinees, 5 items of the Law School Admission Test, section 7"),
}

app = typer.Typer(help="Play sample exams and recorded responses through the API.", no_args_is_help=True)

BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="The API; without it, the one that this checkout runs.")
]


@app.command("list")
def list_data_sets() -> None:
    """Say which data sets there are."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, (_, description) in DATA_SETS.items():
        table.add_row(name, description)
    table.add_row("any other", "`megacity sample play --responses FILE --key FILE`")
    output().print(table)


@app.command()
def play(  # noqa: PLR0913, PLR0917 - each is an option of the command
    name: Annotated[str, typer.Argument(help="A data set that `megacity sample list` names.")] = "LSAT7",
    responses: Annotated[
        Path | None, typer.Option(help="CSV: the column `examinee`, then one per item.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="CSV: the columns `item,key`.")] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            help="What stands in the file where nothing was answered; may be repeated. Default: empty and NA."
        ),
    ] = None,
    data_name: Annotated[
        str | None, typer.Option("--name", help="What to call the file's data; default: the file's name.")
    ] = None,
    base_url: BaseUrl = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Examinees at once.")] = CONCURRENCY,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many examinees.")] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds for which a request that fails is repeated.")
    ] = PATIENCE_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Play recorded answers through the API, then print the item analysis.

    Stopped anywhere, the same command goes on from there.
    """
    settings = load_settings()
    data = _data(name, responses, key, missing, data_name)
    plan = _demo_plan(settings)
    report = _run(
        play_data_set(
            data,
            _base_url(settings, base_url),
            plan.client_id,
            plan.client_secret,
            _state_dir(settings),
            console=progress(),
            concurrency=concurrency,
            limit=limit,
            patience_s=patience,
        )
    )
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _print(report)


@app.command("exam")
def publish_exam(base_url: BaseUrl = None) -> None:
    """Publish the bilingual sample exam for everybody in the zone, and print its id."""
    settings = load_settings()
    teacher = _demo_plan(settings).person("teacher")
    url = _base_url(settings, base_url)
    typer.echo(_run(_publish_sample_exam(settings, url, teacher.email, teacher.password)))


@app.command("adaptive")
def adaptive(
    base_url: BaseUrl = None,
    examinees: Annotated[int, typer.Option(min=1, max=999, help="So many simulated ones.")] = EXAMINEES,
) -> None:
    """Publish the adaptive sample exam, have it taken by simulated examinees, and print what was found.

    Stopped anywhere, the same command goes on from there.
    """
    settings = load_settings()
    plan = _demo_plan(settings)
    url = _base_url(settings, base_url)
    print_adaptive(
        output(), _run(_play_adaptive(settings, url, plan.client_id, plan.client_secret, examinees))
    )


def play_on_first_start(settings: Settings, base_url: str, demo: Demo) -> None:
    """What `megacity up` does with the samples: exams published, LSAT7 and the adaptive one played and shown.

    Where that was done before it is found done, so every start may call it.
    """
    teacher = demo.person("teacher")
    _run(_publish_sample_exam(settings, base_url, teacher.email, teacher.password))
    _play_lsat7(settings, base_url, demo)
    output().print()
    print_adaptive(
        output(), _run(_play_adaptive(settings, base_url, demo.client_id, demo.client_secret, EXAMINEES))
    )


def _play_lsat7(settings: Settings, base_url: str, demo: Demo) -> None:
    try:
        data = load_lsat7()
    except MissingSamples as error:
        progress().print(str(error), markup=False)
        return
    console = progress()
    _print(
        _run(
            play_data_set(
                data,
                base_url,
                demo.client_id,
                demo.client_secret,
                _state_dir(settings),
                console=console,
            )
        )
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except PlayStopped as error:
        raise CommandError(
            str(error), remedy="What was played is kept; the same command goes on from there.", exit_code=1
        ) from error
    except KeyboardInterrupt:
        progress().print("Stopped. What was played is kept; the same command goes on from there.")
        raise typer.Exit(EXIT_INTERRUPTED) from None


async def _play_adaptive(
    settings: Settings, base_url: str, client_id: str, client_secret: str, examinees: int
) -> AdaptivePlayReport:
    return await play_adaptive(
        base_url, client_id, client_secret, _state_dir(settings), console=progress(), examinees=examinees
    )


async def _publish_sample_exam(settings: Settings, base_url: str, email: str, password: str) -> str:
    return await publish_sample_exam(
        base_url, email, password, _state_dir(settings), on_trouble=Troubles(progress())
    )


def _data(
    name: str, responses: Path | None, key: Path | None, missing: list[str] | None, data_name: str | None
) -> ResponseData:
    try:
        if responses is not None and key is not None:
            marks = NO_ANSWER if missing is None else frozenset(missing)
            return load_responses(responses, key, missing=marks, name=data_name)
        if responses is not None or key is not None:
            raise CommandError("--responses and --key belong together.")
        if name not in DATA_SETS:
            raise CommandError(
                f"There is no data set {name!r}.", remedy="`megacity sample list` says which there are."
            )
        return DATA_SETS[name][0]()
    except (DatasetError, MissingSamples) as error:
        raise CommandError(f"{error}") from error


def _demo_plan(settings: Settings) -> DemoPlan:
    plan = load_demo_plan(settings.secrets_dir)
    if plan is None:
        raise CommandError(
            "The demo organisation is not set up here yet, so there is nobody to sign in as.",
            remedy="`make run` (or `megacity up`) sets it up.",
        )
    return plan


def _base_url(settings: Settings, wanted: str | None) -> str:
    if wanted is not None:
        if urlsplit(wanted).scheme not in {"http", "https"} or not urlsplit(wanted).hostname:
            raise CommandError(f"{wanted!r} is no base URL.", remedy="Such as http://127.0.0.1:8000")
        return wanted.rstrip("/")
    try:
        return str(json.loads((settings.var_dir / "run" / "api.json").read_bytes())["base_url"])
    except (OSError, ValueError, KeyError, TypeError):
        host = settings.http.host
        return f"http://{f'[{host}]' if ':' in host else host}:{settings.http.port}"


def _state_dir(settings: Settings) -> Path:
    return settings.var_dir / "sample"


def _print(report: PlayReport) -> None:
    print_analysis(output(), f"{report.name}: {report.title}", report.analysis)
