"""What `megacity cat explain` reads from the log, and what it makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from commands.kinds import ITEM
from domain.attempts.adaptive import Ended, Presented
from domain.attempts.events import AttemptScored, AttemptStarted, AttemptSubmitted
from domain.cat.blueprint import LENGTH
from domain.cat.grid import DEFAULT_GRID
from domain.cat.live.engine import LiveTest
from domain.cat.live.retelling import Retold, retell
from domain.cat.simulation import NORMAL_95
from domain.cat.types import Floats
from domain.events import Event
from domain.exams.events import Blueprint, ExamPublished
from domain.identifiers import StreamId, category_of
from domain.items.item import Written
from domain.items.responses import Response
from domain.items.scoring import score
from infra.cli.cat.explained_picture import draw_path
from infra.cli.cat.explained_text import print_account
from infra.cli.cat.pictures import require_plots
from infra.cli.cat.results import as_json as indented
from infra.cli.console import EXIT_FAILED, CommandError, output
from infra.cli.log import stream_events
from infra.composition import System, open_system
from infra.settings import load_settings

_QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


def explain(attempt: str, *, step: int | None, top: int, as_json: bool, plot: Path | None) -> None:
    """Prints the account. Raises `CommandError`, also where a decision is not the one that is derived now."""
    if category_of(attempt) != "attempt":
        raise CommandError(
            f"{attempt!r} is not the id of an attempt.", remedy="They look like attempt-0198f0a2-…."
        )
    require_plots(plot)
    with open_system(load_settings()) as system:
        account = _Account.of(_Log(system), attempt)
        told = account.as_object(step, top)
    if plot is not None:
        draw_path(plot, account.told, account.difficulties())
    if as_json:
        output().out(indented(told), highlight=False)
    else:
        print_account(told)
    wrong = [str(each.step) for each in account.told if each.verdict == "differs"]
    if wrong:
        raise CommandError(
            f"What was decided at position {', '.join(wrong)} is not what the log leads to.",
            exit_code=EXIT_FAILED,
        )


class _Log:
    """Items by id, each read once."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._items: dict[StreamId, Written] = {}

    def events(self, stream: StreamId) -> list[Event]:
        return [recorded.event for recorded in stream_events(self.system, stream)]

    def item(self, item_id: StreamId) -> Written:
        if item_id not in self._items:
            state = ITEM.initial
            for event in self.events(item_id):
                state = ITEM.evolve(state, event)
            assert isinstance(state, Written)
            self._items[item_id] = state
        return self._items[item_id]

    def is_right(self, item_id: StreamId, item_version: int, response: Response | None) -> bool:
        return score(self.item(item_id).content(item_version), response) > 0


@dataclass(frozen=True, eq=False)
class _Account:
    attempt_id: StreamId
    log: _Log
    blueprint: Blueprint
    test: LiveTest
    events: Sequence[Event]
    told: Sequence[Retold]

    @classmethod
    def of(cls, log: _Log, attempt_id: StreamId) -> "_Account":
        events = log.events(attempt_id)
        started = events[0]
        assert isinstance(started, AttemptStarted)
        published = [each for each in log.events(started.exam_id) if isinstance(each, ExamPublished)]
        blueprint = published[0].blueprint
        if blueprint.adaptive is None or blueprint.pool is None:
            raise CommandError(f"{attempt_id} is an attempt at a fixed form: nothing was chosen.")
        test = LiveTest(blueprint.adaptive, blueprint.pool, blueprint.items)
        return cls(attempt_id, log, blueprint, test, events, retell(test, events, log.is_right))

    def difficulties(self) -> list[float | None]:
        """Of each item presented, b; None of a pretest item."""
        b = self.test.bank.items.b  # type: ignore[attr-defined] # a live test's items are logistic
        presented = [each.recorded for each in self.told if isinstance(each.recorded, Presented)]
        return [None if each.pretest else float(b[self.test.row_of[each.item_id]]) for each in presented]

    def as_object(self, step: int | None, top: int) -> dict[str, Any]:
        steps = [each for each in self.told if step is None or each.step == step]
        if not steps:
            raise CommandError(
                f"{self.attempt_id} has no decision about position {step}.",
                remedy=f"There are {len(self.told)}.",
            )
        started, first = self.events[0], self.told[0]
        assert isinstance(started, AttemptStarted)
        assert self.blueprint.pool is not None
        prior = first.before.prior
        return {
            "attempt_id": self.attempt_id,
            "exam_id": started.exam_id,
            "title": dict(self.blueprint.title),
            "examinee_id": started.examinee_id,
            "bank_id": self.blueprint.pool.bank_id,
            "bank_version": self.test.bank_version,
            "items": len(self.test.items),
            "pretest_items": len(self.test.pretest_items),
            "seed": first.before.seed,
            "algorithm_version": first.algorithm_version,
            "prior": {"mean": prior.mean, "sd": prior.sd, "carried_over_from": prior.carried_over_from},
            "decisions": [self._decision(each, top) for each in steps],
            "end": self._end(),
            "derived_again": {
                verdict: sum(each.verdict == verdict for each in self.told)
                for verdict in ("same", "differs", "other_algorithm")
            },
        }

    def _decision(self, told: Retold, top: int) -> dict[str, Any]:
        derived = told.derived
        found: dict[str, Any] = {
            "step": told.step,
            "before": {**_known(told.before.theta, told.before.se), "posterior": _summary(derived.posterior)},
            "decided": self._recorded(told),
            "candidates": self._candidates(told, top),
            "narrowed_by": self._narrowed(told),
            "answer": None,
            "verdict": told.verdict,
            "differences": list(told.differences),
        }
        if told.update is not None:
            found["answer"] = {"right": told.update.right, **_known(told.update.theta, told.update.se)}
        return found

    def _recorded(self, told: Retold) -> dict[str, Any]:
        match told.recorded:
            case Ended(reason, category):
                return {"kind": "end", "reason": reason, "category": category}
            case Presented() as item:
                about = self._about(item.item_id)
                kind = "pretest" if item.pretest else "item"
                return {"kind": kind, **about, "item_version": item.item_version, "draw": item.draw}

    def _about(self, item_id: StreamId) -> dict[str, Any]:
        row = self.test.row_of.get(item_id)
        area = None if row is None else self.test.areas[row]
        return {"item_id": item_id, "code": self.log.item(item_id).code, "area": area}

    def _candidates(self, told: Retold, top: int) -> list[dict[str, Any]]:
        """The best by the rule's own measure, and the item chosen where it is not among them."""
        criterion = told.derived.criterion
        if criterion is None or not isinstance(told.recorded, Presented):
            return []
        order = [int(row) for row in np.argsort(-criterion, kind="stable") if criterion[row] > -np.inf]
        chosen = self.test.row_of[told.recorded.item_id]
        ranks = {row: rank for rank, row in enumerate(order, 1)}
        shown = order[:top] if chosen in order[:top] or chosen not in ranks else [*order[:top], chosen]
        return [
            {
                "rank": ranks[row],
                **self._about(self.test.items[row].item_id),
                "information": float(told.derived.information[row]),
                "criterion": float(criterion[row]),
                "chosen": row == chosen,
            }
            for row in shown
        ]

    def _narrowed(self, told: Retold) -> dict[str, Any]:
        derived, shadow = told.derived, told.derived.shadow
        criterion = derived.criterion
        passed_over = told.recorded.passed_over if isinstance(told.recorded, Presented) else ()
        return {
            "open": None if criterion is None else int((criterion > -np.inf).sum()),
            "tied_or_drawn_among": None if derived.candidates is None else len(derived.candidates),
            "area_due": derived.area,
            "passed_over": [self._about(item_id) for item_id in passed_over],
            "shadow_test": None
            if shadow is None
            else {
                "items": len(shadow.items),
                "information": shadow.value,
                "gap": shadow.gap,
                "how": shadow.how,
                # That a test has a length binds always.
                "binding": [name for name in shadow.binding if name != LENGTH],
                "without_items_held_back": shadow.eligible_only,
            },
        }

    def _end(self) -> dict[str, Any] | None:
        submitted = [each for each in self.events if isinstance(each, AttemptSubmitted)]
        scored = [each for each in self.events if isinstance(each, AttemptScored)]
        if not submitted or not scored or scored[0].ability is None:
            return None
        ability = scored[0].ability
        return {
            "by": submitted[0].by,
            "reason": ability.stop_reason,
            "items": ability.items,
            "category": ability.category,
            **_known(ability.theta, ability.se),
        }


def _known(theta: float, se: float) -> dict[str, Any]:
    return {"theta": theta, "se": se, "interval": [theta - NORMAL_95 * se, theta + NORMAL_95 * se]}


def _summary(posterior: Floats) -> dict[str, float]:
    """Mode and quantiles on the grid; between two points the cumulated weight rises evenly."""
    points = DEFAULT_GRID.points
    middles = np.cumsum(posterior) - posterior / 2
    quantiles = np.interp(_QUANTILES, middles, points)
    named = {f"q{round(share * 100):02d}": float(at) for share, at in zip(_QUANTILES, quantiles, strict=True)}
    return {"mode": float(points[int(np.argmax(posterior))]), **named}
