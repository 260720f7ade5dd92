"""What must be true after a fault, whatever it was. Each check fails in words that say what is not.

ledger = Ledger.read(path)
check_log(conninfo, ledger)         # what was acknowledged is there, once, whole; what was refused is not
check_tally(conninfo)               # a projection has met each event once, in the order of its stream
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
import psycopg

from domain.errors import Unavailable
from infra.event_store.leaves import leaf_hash
from tests.support.faults.load import Asked, Told
from tests.support.faults.tally import CHECK_TALLY
from tests.support.sequencing import broken_promises

Place = tuple[str, int, str]
"""Stream, version, event id."""

_STORED = """
SELECT stream_id, version, convert_from(meta, 'UTF8')::json ->> 'event_id', type, meta, payload, leaf
FROM log.events
"""


@dataclass(frozen=True)
class Ledger:
    """What writers asked for and what they were told."""

    asked: dict[int, Asked]
    told: dict[int, Told]

    @classmethod
    def read(cls, *paths: Path) -> Self:
        """A last line that was cut off, because its writer was killed, counts as not written."""
        decoder = msgspec.json.Decoder(Asked | Told)
        asked: dict[int, Asked] = {}
        told: dict[int, Told] = {}
        for number, path in enumerate(paths):
            for text in path.read_bytes().splitlines(keepends=True):
                if not text.endswith(b"\n"):
                    continue
                line = decoder.decode(text)
                # Each writer numbers its commands from the beginning.
                key = line.command + number * 1_000_000_000
                if isinstance(line, Asked):
                    asked[key] = line
                else:
                    told[key] = line
        return cls(asked, told)

    def answered(self, answer: str) -> list[Asked]:
        return [self.asked[command] for command, told in self.told.items() if told.answer == answer]

    @property
    def acknowledged(self) -> list[Place]:
        return [place for asked in self.answered("saved") for place in asked.events]


def check_answers(ledger: Ledger) -> None:
    """Callers were told what they may be told, and nobody was refused because of himself."""
    strange = {
        f"{told.answer}: {told.detail}"
        for told in ledger.told.values()
        if told.answer not in {"saved", "conflict", "unavailable"}
    }
    assert not strange, f"callers were told what is nobody's business: {sorted(strange)[:3]}"
    refused = [asked for asked in ledger.answered("conflict") if not asked.stale]
    assert not refused, f"{len(refused)} commands conflicted with nobody but themselves: {refused[:3]}"
    let_in = [asked for asked in ledger.answered("saved") if asked.stale]
    assert not let_in, f"{len(let_in)} commands were saved at a version that was past: {let_in[:3]}"


def check_nothing_lost(ledger: Ledger, stored: Iterable[Place]) -> None:
    """Every acknowledged event is there exactly once, at its stream and version."""
    there = Counter(stored)
    missing = [place for place in ledger.acknowledged if there[place] != 1]
    assert not missing, f"{len(missing)} acknowledged events are not there once: {missing[:3]}"
    ids = Counter(event_id for _, _, event_id in there)
    twice = [event_id for event_id, count in ids.items() if count > 1]
    assert not twice, f"{len(twice)} events are there more than once: {twice[:3]}"


def check_nothing_half(ledger: Ledger, stored: Iterable[Place]) -> None:
    """Of every command, answered or not, either all events are there or none."""
    there = set(stored)
    half = [asked for asked in ledger.asked.values() if 0 < len(there & {*asked.events}) < len(asked.events)]
    assert not half, f"{len(half)} commands are there by half: {half[:3]}"
    unheard_of = there - {place for asked in ledger.asked.values() for place in asked.events}
    assert not unheard_of, (
        f"{len(unheard_of)} events are there that nobody asked for: {sorted(unheard_of)[:3]}"
    )


def check_refused_are_absent(ledger: Ledger, stored: Iterable[Place]) -> None:
    there = set(stored)
    present = [place for asked in ledger.answered("conflict") for place in asked.events if place in there]
    assert not present, f"{len(present)} events are there that were refused: {present[:3]}"


def check_log(conninfo: str, ledger: Ledger) -> None:
    """All of the above, and that the order is dense, complete and true to each stream.

    To be asked when the writer has ended and the sequencer has done its work.
    """
    with psycopg.connect(conninfo) as admin:
        rows = admin.execute(_STORED).fetchall()
    stored = [(stream, version, event_id) for stream, version, event_id, *_ in rows]
    check_nothing_lost(ledger, stored)
    check_nothing_half(ledger, stored)
    check_refused_are_absent(ledger, stored)
    check_answers(ledger)
    broken = broken_promises(conninfo)
    assert not broken, "\n".join(broken)
    torn = [
        (stream, version)
        for stream, version, event_id, type_, meta, payload, leaf in rows
        if leaf_hash(stream, version, type_, meta, event_id, payload) != leaf
    ]
    assert not torn, f"{len(torn)} events do not have the leaf of their bytes: {torn[:3]}"


def check_tally(conninfo: str) -> None:
    """The rows of `tests.support.faults.tally` are what the log says: each event once, in order."""
    with psycopg.connect(conninfo) as admin:
        wrong = admin.execute(CHECK_TALLY).fetchall()
    assert not wrong, f"{len(wrong)} streams are not counted as they are in the log: {wrong[:3]}"


def is_unavailable(error: BaseException) -> bool:
    """What becomes 503 with Retry-After."""
    return isinstance(error, Unavailable) and error.data().get("retry_after_s", 0) > 0
