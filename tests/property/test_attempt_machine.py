"""An attempt against a model that fits on a page: a dictionary of what was answered last.

Hypothesis starts, answers, changes, takes back, repeats, waits and hands in, in any order, through
the commands of two processes that share a log and nothing else.
"""

import asyncio
import sys
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from commands.kinds import ATTEMPT
from commands.take_exam import (
    GiveResponse,
    StartAttempt,
    give_response,
    start_attempt,
    submit_attempt,
    submit_exam,
)
from domain.attempts.attempt import (
    AttemptFinished,
    AttemptTimeIsUp,
    ItemNotInExam,
    NoAttemptsLeft,
    Scored,
    SequenceReused,
)
from domain.attempts.events import AttemptScored, AttemptSubmitted, ResponseChanged, ResponseGiven
from domain.errors import DomainError
from domain.items.responses import ChosenOptions, GivenNumber, GivenText, Response, ResponseDoesNotFit
from infra.composition import event_codec
from tests.support.exam_parts import (
    CHOICE_ID,
    CHOICES_ID,
    EXAM_ID,
    NUMBER_ID,
    STUDENT,
    TEXT_ID,
    UNKNOWN_ITEM_ID,
)
from tests.support.given import fold
from tests.support.memory import World

LIMIT_S, GRACE_S = 600, 5

# What may be sent, what of it is kept, and what it earns: written down by hand.
ANSWERS: dict[str, list[tuple[Response, Response, int]]] = {
    CHOICE_ID: [
        (ChosenOptions(("1",)), ChosenOptions(("1",)), 0),
        (ChosenOptions(("2",)), ChosenOptions(("2",)), 1),
    ],
    CHOICES_ID: [
        (ChosenOptions(("3", "1")), ChosenOptions(("1", "3")), 2),
        (ChosenOptions(("1", "3")), ChosenOptions(("1", "3")), 2),
        (ChosenOptions(("4", "1")), ChosenOptions(("1", "4")), 0),
    ],
    NUMBER_ID: [
        (GivenNumber("12.50"), GivenNumber("12.50"), 3),
        (GivenNumber("12.5"), GivenNumber("12.5"), 3),
        (GivenNumber("-12.5"), GivenNumber("-12.5"), 0),
    ],
    TEXT_ID: [
        (GivenText(" 서울"), GivenText(" 서울"), 4),
        (GivenText("부산"), GivenText("부산"), 0),
    ],
}
UNFIT = [ChosenOptions(("9",)), ChosenOptions(()), GivenNumber("x"), GivenText("")]

processes = st.sampled_from([0, 1])
sequences = st.integers(1, 8)
answers = st.sampled_from([(item, *each) for item, known in ANSWERS.items() for each in known])


class AnAttempt(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.writing = [self.world.write, self.world.another_process()]
        self.watching = self.world.another_process()
        # The model.
        self.now_s = 0
        self.saved: dict[str, tuple[int, Response | None]] = {}
        self.earned: dict[str, int] = {}
        self.handed_in_by: str | None = None
        self.accepted: list[GiveResponse] = []
        self.length = 0

    def teardown(self) -> None:
        try:
            # Every story that went well so far ends with a result.
            if sys.exception() is None and self.length:
                self.let_pass(LIMIT_S + GRACE_S + 1 if self.dawdling else 0)
                self.submits(0)
                self.check_the_result()
        finally:
            self.runner.close()

    @initialize(limited=st.booleans(), dawdling=st.booleans(), patience=st.integers(0, 25), process=processes)
    def begin(self, limited: bool, dawdling: bool, patience: int, process: int) -> None:
        self.limited = limited
        self.dawdling = dawdling
        # Answers before anybody hands in: an attempt that is over at once shows little.
        self.patience = patience
        self.world.given_student()
        self.world.given_exam(time_limit_s=LIMIT_S if limited else None)
        self.attempt_id = self.start(process).stream_id
        self.length = 1

    # -- what can be done ------------------------------------------------------------------------------------

    @rule(process=processes)
    def start_again(self, process: int) -> None:
        if self.handed_in_by is None and not self.time_is_up():
            assert self.start(process).stream_id == self.attempt_id
        else:
            self.hands_in("clock")
            assert self.refusal(lambda: self.start(process)) is NoAttemptsLeft

    @rule(answer=answers, sequence=sequences | st.none(), process=processes)
    def answer(self, answer: Any, sequence: int | None, process: int) -> None:
        item_id, response, kept, points = answer
        self.give(process, self.response(item_id, response, sequence), kept, points)

    @rule(item_id=st.sampled_from(list(ANSWERS)), sequence=sequences | st.none(), process=processes)
    def take_back(self, item_id: str, sequence: int | None, process: int) -> None:
        self.give(process, self.response(item_id, None, sequence), None, 0)

    @rule(
        item_id=st.sampled_from([*ANSWERS, UNKNOWN_ITEM_ID]),
        response=st.sampled_from(UNFIT),
        sequence=sequences | st.none(),
        process=processes,
    )
    def answer_what_cannot_be(
        self, item_id: str, response: Response, sequence: int | None, process: int
    ) -> None:
        if self.handed_in_by is not None:
            expected: type[DomainError] = AttemptFinished
        else:
            expected = ItemNotInExam if item_id == UNKNOWN_ITEM_ID else ResponseDoesNotFit
        sent = self.response(item_id, response, sequence)
        assert self.refusal(lambda: self.send(process, sent)) is expected

    @precondition(lambda self: self.accepted)
    @rule(data=st.data(), process=processes)
    def everything_up_to_some_point_arrives_again(self, data: Any, process: int) -> None:
        again = data.draw(st.integers(1, len(self.accepted)))
        for command in self.accepted[:again]:
            refusal = self.refusal(lambda command=command: self.send(process, command))
            assert refusal is (None if self.handed_in_by is None else AttemptFinished)

    @rule(seconds=st.sampled_from([0, 1, 5, 60, 300, 600]))
    def time_passes(self, seconds: int) -> None:
        self.let_pass(seconds)

    @precondition(lambda self: self.patience <= 0)
    @rule(process=processes)
    def hand_in(self, process: int) -> None:
        self.submits(process)

    @precondition(lambda self: self.patience <= 0)
    @rule(process=processes)
    def hand_in_the_exam(self, process: int) -> None:
        self.hands_in("clock" if self.time_is_up() else "examinee")
        self.run(submit_exam(self.writing[process], self.world.student(), EXAM_ID))

    @precondition(lambda self: self.time_is_up())
    @rule(process=processes)
    def the_clock_hands_in(self, process: int) -> None:
        self.hands_in("clock")
        clock = self.world.asked_by("deadlines", kind="clock")
        self.run(submit_attempt(self.writing[process], clock, self.attempt_id, "clock"))

    # -- what holds all the time -----------------------------------------------------------------------------

    @invariant()
    def what_is_held_is_what_the_model_holds(self) -> None:
        # Read by somebody else: the processes that write keep what they remember, however old it is.
        state = self.run(self.watching.streams.read(ATTEMPT, self.attempt_id)).state
        attempt = state.attempt if isinstance(state, Scored) else state
        assert {
            item_id: (saved.sequence, saved.response) for item_id, saved in attempt.responses.items()
        } == self.saved
        assert isinstance(state, Scored) == (self.handed_in_by is not None)

    @invariant()
    def nothing_is_recorded_but_what_changed_something(self) -> None:
        assert len(self.world.log.stream(self.attempt_id)) == self.length
        assert self.world.log.streams("attempt") == [self.attempt_id]

    @invariant()
    def the_stored_events_read_from_scratch_give_the_same_state(self) -> None:
        codec = event_codec()
        read = []
        for recorded in self.world.log.stream(self.attempt_id):
            stored = codec.encode(recorded)
            read.append(
                codec.decode(stored.stream_id, stored.version, stored.type, stored.meta, stored.payload)
            )
        assert read == self.world.log.stream(self.attempt_id)
        assert [recorded.version for recorded in read] == list(range(1, self.length + 1))
        state = fold(ATTEMPT, tuple(recorded.event for recorded in read))
        assert state == self.run(self.watching.streams.read(ATTEMPT, self.attempt_id)).state
        # The versions that the writing processes remember are versions that there were.
        for write in self.writing:
            known = self.run(write.streams.peek(ATTEMPT, self.attempt_id))
            assert known.state == fold(ATTEMPT, tuple(event.event for event in read[: known.version]))

    @invariant()
    def an_item_is_given_once_and_changed_after_that_with_rising_sequences(self) -> None:
        last: dict[str, int] = {}
        for event in self.world.log.events(self.attempt_id):
            if isinstance(event, ResponseGiven | ResponseChanged):
                assert isinstance(event, ResponseChanged) == (event.item_id in last)
                assert event.sequence > last.get(event.item_id, 0)
                last[event.item_id] = event.sequence

    @precondition(lambda self: self.handed_in_by is not None)
    @invariant()
    def what_is_scored_is_exactly_what_the_model_holds(self) -> None:
        self.check_the_result()

    def check_the_result(self) -> None:
        *_, submitted, scored = self.world.log.events(self.attempt_id)
        assert isinstance(submitted, AttemptSubmitted)
        assert isinstance(scored, AttemptScored)
        assert submitted.by == self.handed_in_by
        assert [(item.item_id, item.response, item.score) for item in scored.items] == [
            (item_id, self.saved.get(item_id, (0, None))[1], self.earned.get(item_id, 0))
            for item_id in ANSWERS
        ]
        assert (scored.score, scored.max_score) == (sum(self.earned.values()), 10)

    # -- the model -------------------------------------------------------------------------------------------

    def time_is_up(self) -> bool:
        return self.limited and self.now_s > LIMIT_S + GRACE_S

    def let_pass(self, seconds: int) -> None:
        self.now_s += seconds
        self.world.clock.advance(seconds=seconds)

    def hands_in(self, by: str) -> None:
        if self.handed_in_by is None:
            self.handed_in_by = by
            self.length += 2

    def submits(self, process: int) -> None:
        self.hands_in("clock" if self.time_is_up() else "examinee")
        self.run(submit_attempt(self.writing[process], self.world.student(), self.attempt_id))

    def give(self, process: int, sent: GiveResponse, kept: Response | None, points: int) -> None:
        self.patience -= 1
        item_id, sequence = sent.item_id, sent.sequence
        held = self.saved.get(item_id)
        expected: type[DomainError] | None = None
        if self.handed_in_by is not None:
            expected = AttemptFinished
        elif held is not None and sequence is not None and sequence <= held[0]:
            expected = SequenceReused if (sequence == held[0] and kept != held[1]) else None
        elif self.time_is_up():
            expected = AttemptTimeIsUp
        else:
            number = sequence if sequence is not None else (held[0] if held else 0) + 1
            self.saved[item_id] = (number, kept)
            self.earned[item_id] = points
            self.length += 1
            self.accepted.append(msgspec.structs.replace(sent, sequence=number))
        assert self.refusal(lambda: self.send(process, sent)) is expected

    # -- the system ------------------------------------------------------------------------------------------

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def refusal(self, order: Any) -> type[DomainError] | None:
        try:
            order()
        except DomainError as refused:
            return type(refused)
        return None

    def start(self, process: int) -> Any:
        start = StartAttempt(exam_id=EXAM_ID, examinee_id=STUDENT)
        return self.run(start_attempt(self.writing[process], self.world.student(), start))

    def response(self, item_id: str, response: Response | None, sequence: int | None) -> GiveResponse:
        return GiveResponse(attempt_id=self.attempt_id, item_id=item_id, response=response, sequence=sequence)

    def send(self, process: int, sent: GiveResponse) -> Any:
        return self.run(give_response(self.writing[process], self.world.student(), sent))


TestAnAttempt = AnAttempt.TestCase
TestAnAttempt.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
