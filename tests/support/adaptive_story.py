"""A published adaptive exam in a story, and examinees of known ability who take it to the end."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from domain.attempts import attempt as attempts
from domain.attempts.adaptive import Prior
from domain.attempts.events import AttemptStarted
from domain.cat.live.engine import LiveTest
from domain.cat.logistic import LogisticItems
from domain.exams.adaptive import AdaptiveRules, Pool, PooledItem
from domain.exams.events import Blueprint, ExamDrafted, ExamPublished, FormItem
from domain.exams.form import Form, PinnedItem
from domain.items.content import ChoiceKey, ItemParameters, MultipleChoice, Option
from domain.items.responses import ChosenOptions
from tests.support.story import BEGIN, Story

RIGHT, WRONG = ChosenOptions(("1",)), ChosenOptions(("2",))


@dataclass
class AdaptiveExam:
    """`bank` holds those of `items` that have parameters, which come first."""

    exam_id: str
    items: list[str]
    bank: LogisticItems
    form: Form


def an_item(area: str, parameters: ItemParameters | None) -> MultipleChoice:
    return MultipleChoice(
        content_area=area,
        stem={"ko": "무엇입니까?", "en": "Which?"},
        options=tuple(Option(each, {"ko": each, "en": each}) for each in ("1", "2", "3", "4")),
        key=ChoiceKey(("1",)),
        irt=parameters,
    )


def publish_adaptive(
    story: Story, parameters: LogisticItems, rules: AdaptiveRules, *, pretest: int = 0, **blueprint: object
) -> AdaptiveExam:
    bank_id = story.bank("Adaptive bank")
    areas = ("reading", "mathematics", "science")
    columns = [each.tolist() for each in (parameters.a, parameters.b, parameters.c, parameters.d)]
    irt = [*(ItemParameters(*each) for each in zip(*columns, strict=True)), *[None] * pretest]
    contents = [an_item(areas[n % 3], each) for n, each in enumerate(irt)]
    items = [story.item(bank_id, f"i{n:03d}", content) for n, content in enumerate(contents)]
    picked = tuple(FormItem(item, 1) for item in items)
    pooled = tuple(
        PooledItem(each.content_area, known)
        for each, known in zip(contents, [*zip(*columns, strict=True), *[None] * pretest], strict=True)
    )
    drafted = Blueprint(title={"en": "Adaptive"}, items=picked, adaptive=rules, **blueprint)
    pool = Pool(bank_id=bank_id, bank_version=1, items=pooled)
    published = Blueprint(title={"en": "Adaptive"}, items=picked, adaptive=rules, pool=pool, **blueprint)
    exam_id = story.new_id("exam")
    story.add(exam_id, ExamDrafted(blueprint=drafted))
    story.add(exam_id, ExamPublished(blueprint=published))
    pinned = [PinnedItem(item, 1, content) for item, content in zip(items, contents, strict=True)]
    return AdaptiveExam(exam_id, items, parameters, Form(pinned, LiveTest(rules, pool, picked)))


def take_adaptive(
    story: Story,
    exam: AdaptiveExam,
    examinee: str,
    theta: float,
    rng: np.random.Generator,
    *,
    answers: int | None = None,
    hands_in: bool = True,
) -> str:
    """Answers as somebody of ability theta; after so many answers hands in, or leaves an item unanswered."""
    attempt = story.new_id("attempt")
    started = AttemptStarted(
        exam_id=exam.exam_id,
        examinee_id=examinee,
        ordinal=1,
        started_at=BEGIN,
        deadline=BEGIN + timedelta(hours=1),
        grace_s=5.0,
    )
    test = exam.form.test
    assert test is not None
    state: attempts.Attempt = attempts.NotStarted()
    seed = int(rng.integers(2**53))
    todo = attempts.start_adaptive(state, started, test, Prior(mean=0.0, sd=1.0), seed)
    given = 0
    while todo:
        for event in todo:
            story.add(attempt, event)
            state = attempts.evolve(state, event)
        if not isinstance(state, attempts.InProgress) or given == answers:
            break
        assert state.sitting is not None
        assert state.sitting.pending is not None
        row = exam.items.index(state.sitting.pending.item_id)
        chance = float(exam.bank[[row]].correct(theta)[0, 0]) if row < len(exam.bank) else 0.5
        response = RIGHT if rng.random() < chance else WRONG
        sent = attempts.SentResponse(item_id=exam.items[row], response=response)
        saved = attempts.give_response(state, exam.form, sent, BEGIN)
        for event in saved:
            story.add(attempt, event)
            state = attempts.evolve(state, event)
        given += 1
        todo = attempts.advance(state, exam.form)
    if hands_in and isinstance(state, attempts.InProgress):
        for event in attempts.submit(state, exam.form, "examinee", BEGIN):
            story.add(attempt, event)
    return attempt
