"""`megacity keys`: the keys that sign access tokens."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.console import CommandError, table_output
from infra.settings import load_settings

if TYPE_CHECKING:
    from infra.auth.key_ring import Ring

app = typer.Typer(no_args_is_help=True, help="Look at the keys that sign access tokens, and change them.")


@app.command("list")
def list_keys() -> None:
    """Which keys there are, which one signs, and until when the others are believed."""
    from infra.auth.key_ring import load_or_create_ring
    from infra.auth.signing_key import SigningKeyError

    try:
        _show(load_or_create_ring(load_settings().auth.signing_key_file))
    except SigningKeyError as error:
        raise CommandError(str(error)) from error


@app.command()
def rotate(
    active_in: Annotated[
        int,
        typer.Option(
            "--active-in",
            min=0,
            max=86_400,
            help="Seconds until the new key signs: long enough to copy the file to where it is not shared.",
        ),
    ] = 0,
    drop_others: Annotated[
        bool, typer.Option("--drop-others", help="A key was stolen: believe no other any longer.")
    ] = False,
) -> None:
    """Make a new key; tokens of the one before stay good until they expire."""
    from infra.auth import key_ring
    from infra.auth.signing_key import SigningKeyError

    if drop_others and active_in:
        raise CommandError(
            "--drop-others leaves no key that could sign until then.", remedy="Leave out --active-in."
        )
    path = load_settings().auth.signing_key_file
    try:
        ring = key_ring.rotate(path, int(time.time()), active_in_s=active_in, drop_others=drop_others)
    except SigningKeyError as error:
        raise CommandError(str(error)) from error
    _show(ring)


def _show(ring: "Ring") -> None:
    from rich.table import Table

    from infra.auth.key_ring import BELIEVED_FOR_S, believed, signing

    now_s = time.time()
    signs, taken = signing(ring, now_s), believed(ring, now_s)
    table = Table(box=None, pad_edge=False)
    for column in ("key id", "signs from", "believed until", "status"):
        table.add_column(column)
    ends = [*(_moment(later.active_from_s + BELIEVED_FOR_S) for later in ring[1:]), ""]
    for key, end in zip(ring, ends, strict=True):
        status = "signs" if key is signs else "believed" if key in taken else "expired"
        status = "waits" if key.active_from_s > now_s else status
        table.add_row(key.key_id, _moment(key.active_from_s) if key.active_from_s else "", end, status)
    table_output().print(table)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
