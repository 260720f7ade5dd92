"""Many simulated examinees of an adaptive exam, their events appended in bulk to a running API's log."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from commands.context import CommandContext
from domain.attempts import attempt as attempts
from domain.attempts.adaptive import Prior
from domain.attempts.events import AttemptStarted
from domain.cat.items import LogisticItems
from domain.events import Actor, Event
from domain.exams.form import Form
from domain.items.responses import ChosenOptions
from infra.composition import new_id
from tests.support.api import Api, ExamMade, School, eventually

KEY, NOT_THE_KEY = ChosenOptions(("2",)), ChosenOptions(("1",))

_AT_A_TIME = 20


def examined(  # noqa: PLR0917 - who is examined, and how
    api: Api, school: School, exam: ExamMade, truth: LogisticItems, thetas: Sequence[float], seed: int = 1
) -> None:
    """Each takes the test to its end and answers by the true parameters (rows as `exam.item_ids`).

    Returns once the read models show all of it.
    """
    form = api.run(api.write.forms.published(exam.exam_id))
    rng = np.random.default_rng(seed)
    context = CommandContext(
        actor=Actor("operator", "tests"),
        zone_id=school.zone_id,
        org_id=school.org_id,
        correlation_id=new_id(),
        command_id=new_id(),
    )
    before = api.run(api.services.calibrations.live.attempts_since(exam.bank_id, None))
    streams = [
        (f"attempt-{new_id()}", 0, _attempt(form, exam, truth, theta, rng, api.clock())) for theta in thetas
    ]
    for at in range(0, len(streams), _AT_A_TIME):
        api.run(api.write.streams.execute_many(context, streams[at : at + _AT_A_TIME]))
    wanted = before + len(thetas)
    eventually(lambda: api.run(api.services.calibrations.live.attempts_since(exam.bank_id, None)) == wanted)


def _attempt(  # noqa: PLR0917 - one examinee
    form: Form, exam: ExamMade, truth: LogisticItems, theta: float, rng: np.random.Generator, now: datetime
) -> list[Event]:
    assert form.test is not None
    chances = truth.correct(theta)[0]
    started = AttemptStarted(
        exam_id=exam.exam_id,
        examinee_id=f"user-{new_id()}",
        ordinal=1,
        started_at=now,
        deadline=None,
        grace_s=5.0,
    )
    state: attempts.Attempt = attempts.NotStarted()
    events: list[Event] = []

    def happen(decided: Sequence[Event]) -> None:
        nonlocal state
        for event in decided:
            events.append(event)
            state = attempts.evolve(state, event)

    seed = int(rng.integers(2**53))
    happen(attempts.start_adaptive(state, started, form.test, Prior(mean=0.0, sd=1.0), seed))
    while isinstance(state, attempts.InProgress):
        assert state.sitting is not None
        assert state.sitting.pending is not None
        item_id = state.sitting.pending.item_id
        right = rng.random() < chances[exam.item_ids.index(item_id)]
        sent = attempts.SentResponse(item_id=item_id, response=KEY if right else NOT_THE_KEY)
        happen(attempts.give_response(state, form, sent, now))
        happen(attempts.advance(state, form))
    return events
