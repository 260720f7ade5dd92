"""Given facts, when something is ordered, then facts or a refusal: how the domain's decisions are told.

given(EXAM, drafted).when(exam.publish, NOW).then(published)
given(EXAM).when(exam.publish, NOW).then_refused(ExamNotFound)
"""

from dataclasses import dataclass
from typing import Any

from commands.streams import StreamKind
from domain.errors import DomainError
from domain.events import Event


@dataclass(frozen=True)
class Decision:
    kind: StreamKind[Any]
    state_before: Any
    facts: tuple[Event, ...] | None
    refusal: DomainError | None

    def then(self, *expected: Event) -> "Given":
        """Exactly these facts follow, in this order; goes on from the state after them."""
        if self.refusal is not None:
            raise self.refusal
        assert self.facts == expected
        return Given(self.kind, fold(self.kind, self.facts, self.state_before))

    def then_nothing(self) -> "Given":
        return self.then()

    def then_refused(self, error: type[DomainError], **data: Any) -> None:
        assert self.refusal is not None, f"not refused, but decided: {self.facts}"
        assert type(self.refusal) is error
        assert data.items() <= self.refusal.data().items()


@dataclass(frozen=True)
class Given:
    kind: StreamKind[Any]
    state: Any

    def when(self, decide: Any, *args: Any, **keywords: Any) -> Decision:
        try:
            facts = tuple(decide(self.state, *args, **keywords))
        except DomainError as refusal:
            return Decision(self.kind, self.state, None, refusal)
        return Decision(self.kind, self.state, facts, None)


def given(kind: StreamKind[Any], *facts: Event) -> Given:
    return Given(kind, fold(kind, facts))


def fold(kind: StreamKind[Any], facts: tuple[Event, ...], state: Any = None) -> Any:
    state = kind.initial if state is None else state
    for fact in facts:
        state = kind.evolve(state, fact)
    return state
