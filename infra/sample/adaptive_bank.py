"""A bank for an adaptive sample exam: short calculations, made by rules, with parameters that were drawn.

Nobody has answered these items, so there is nothing to calibrate them with. Their parameters are drawn from
a seeded generator, the harder rule getting the greater difficulty, and the examinees who take the exam
are drawn by the same parameters. It shows how adaptive testing works here, and says nothing of anybody.
"""

import math
from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

SEED: Final = 20_260_302
AREAS: Final = ("arithmetic", "algebra", "sequences")
ITEMS_AN_AREA: Final = 50
PRETEST_ITEMS_AN_AREA: Final = 2
OPTIONS: Final = 4
TIMES: Final = "\N{MULTIPLICATION SIGN}"


class Question(msgspec.Struct, frozen=True):
    """Text in both languages, the right answer, and what somebody answers who makes a usual mistake."""

    ko: str
    en: str
    answer: int
    mistakes: tuple[int, ...]


class BankItem(msgspec.Struct, frozen=True, kw_only=True):
    """`options` are numbers in ascending order, of which the one at `key` is right.

    a, b, c: what chance follows in this sample. `pretest`: they are not told to the system.
    """

    code: str
    area: str
    question: Question
    options: tuple[int, ...]
    key: int
    a: float
    b: float
    c: float
    pretest: bool

    def chance(self, theta: float) -> float:
        return self.c + (1 - self.c) / (1 + math.exp(-self.a * (theta - self.b)))

    def body(self) -> dict[str, Any]:
        """As the item import takes it."""
        answer = self.question.answer
        return {
            "code": self.code,
            "kind": "multiple_choice",
            "content_area": self.area,
            "stem": {"ko": self.question.ko, "en": self.question.en},
            "options": [
                {"id": str(number), "text": {"ko": str(value), "en": str(value)}}
                for number, value in enumerate(self.options, 1)
            ],
            "key": {"options": [str(self.key + 1)]},
            "explanation": {"ko": f"답은 {answer}입니다.", "en": f"The answer is {answer}."},
            "irt": None if self.pretest else {"a": self.a, "b": self.b, "c": self.c},
        }


def adaptive_bank() -> list[BankItem]:
    """The same items in the same order, whenever it is called: those with parameters first."""
    rng = Random(SEED)  # noqa: S311 - sample content, no secret
    operational: list[BankItem] = []
    pretest: list[BankItem] = []
    for area in AREAS:
        asked: set[str] = set()
        count = ITEMS_AN_AREA + PRETEST_ITEMS_AN_AREA
        hidden = set(rng.sample(range(count), PRETEST_ITEMS_AN_AREA))
        difficulties = sorted(rng.gauss(0.0, 1.3) for _ in range(count))
        for number, difficulty in enumerate(difficulties):
            question = _new_question(area, number / count, rng, asked)
            options = _options(question, rng)
            item = BankItem(
                code=f"{area}-{number + 1:02d}",
                area=area,
                question=question,
                options=options,
                key=options.index(question.answer),
                # Rounded as they would be in any table of parameters.
                a=round(rng.lognormvariate(0.45, 0.25), 3),
                b=round(difficulty, 3),
                c=round(rng.uniform(0.05, 0.22), 3),
                pretest=number in hidden,
            )
            (pretest if item.pretest else operational).append(item)
    return operational + pretest


def _new_question(area: str, difficulty: float, rng: Random, asked: set[str]) -> Question:
    """One that was not asked yet; `difficulty` from 0 to 1 picks the rule."""
    rules = _RULES[area]
    rule = rules[int(difficulty * len(rules))]
    while True:
        question = rule(rng)
        if question.en not in asked:
            asked.add(question.en)
            return question


def _options(question: Question, rng: Random) -> tuple[int, ...]:
    """Mistakes as far as there is room for them: the answer is as often the least as the greatest."""
    answer, below = question.answer, rng.randrange(OPTIONS)
    parts: list[list[int]] = []
    for count, sign in ((below, -1), (OPTIONS - 1 - below, 1)):
        chosen = [each for each in dict.fromkeys(question.mistakes) if (each - answer) * sign > 0][:count]
        while len(chosen) < count:
            other = answer + sign * rng.randint(1, 12)
            if other not in chosen:
                chosen.append(other)
        parts.append(chosen)
    return tuple(sorted([*parts[0], answer, *parts[1]]))


def _calculation(formula: str, answer: int, *mistakes: int) -> Question:
    return Question(f"다음을 계산하세요: {formula}", f"Work out: {formula}", answer, mistakes)


def _equation(formula: str, answer: int, *mistakes: int) -> Question:
    return Question(f"x를 구하세요: {formula}", f"Solve for x: {formula}", answer, mistakes)


def _sequence(terms: list[int], *mistakes: int) -> Question:
    shown = ", ".join(map(str, terms[:-1]))
    return Question(
        f"다음에 올 수는 무엇입니까? {shown}, …",
        f"Which number comes next? {shown}, …",
        terms[-1],
        mistakes,
    )


def _sum(rng: Random) -> Question:
    a, b = rng.randint(12, 89), rng.randint(12, 89)
    return _calculation(f"{a} + {b}", a + b, a + b - 10, a + b + 1)


def _difference(rng: Random) -> Question:
    a, b = rng.randint(51, 99), rng.randint(12, 48)
    return _calculation(f"{a} - {b}", a - b, a - b + 10, a - b - 1)


def _product(rng: Random) -> Question:
    a, b = rng.randint(13, 49), rng.randint(3, 9)
    return _calculation(f"{a} {TIMES} {b}", a * b, a * b + 10, (a - 1) * b)


def _brackets(rng: Random) -> Question:
    a, b, c = rng.randint(3, 9), rng.randint(11, 29), rng.randint(2, 9)
    return _calculation(f"{a} {TIMES} ({b} - {c})", a * (b - c), a * b - c, a * (b + c))


def _two_products(rng: Random) -> Question:
    a, b, c, d = rng.randint(11, 19), rng.randint(11, 19), rng.randint(6, 9), rng.randint(6, 9)
    answer = a * b - c * d
    return _calculation(f"{a} {TIMES} {b} - {c} {TIMES} {d}", answer, (a * b - c) * d, a * b + c * d)


def _addend(rng: Random) -> Question:
    x, a = rng.randint(4, 40), rng.randint(5, 40)
    return _equation(f"x + {a} = {x + a}", x, x + 2 * a, x + a)


def _multiple(rng: Random) -> Question:
    x, a = rng.randint(3, 19), rng.randint(3, 9)
    return _equation(f"{a}x = {a * x}", x, a * x - a, a * x)


def _line(rng: Random) -> Question:
    x, a, b = rng.randint(2, 15), rng.randint(2, 9), rng.randint(3, 30)
    return _equation(f"{a}x + {b} = {a * x + b}", x, x + b, a * x)


def _both_sides(rng: Random) -> Question:
    x, c = rng.randint(2, 12), rng.randint(2, 6)
    a, b = c + rng.randint(2, 6), rng.randint(2, 20)
    return _equation(f"{a}x - {b} = {c}x + {(a - c) * x - b}", x, -x, x + b)


def _square(rng: Random) -> Question:
    p, q = rng.sample(range(2, 13), 2)
    high, low = max(p, q), min(p, q)
    return Question(
        f"x² - {p + q}x + {p * q} = 0의 큰 해를 구하세요.",
        f"What is the greater solution of x² - {p + q}x + {p * q} = 0?",
        high,
        (low, p + q, -low),
    )


def _constant_step(rng: Random) -> Question:
    first, step = rng.randint(2, 30), rng.randint(3, 12)
    terms = [first + step * n for n in range(5)]
    return _sequence(terms, terms[-1] + 1, terms[-1] - 1)


def _falling_step(rng: Random) -> Question:
    first, step = rng.randint(70, 99), rng.randint(3, 11)
    terms = [first - step * n for n in range(5)]
    return _sequence(terms, terms[-1] + step, terms[-1] + 1)


def _doubling(rng: Random) -> Question:
    first, more = rng.randint(2, 9), rng.randint(1, 5)
    terms = [first]
    for _ in range(4):
        terms.append(2 * terms[-1] + more)
    return _sequence(terms, 2 * terms[-2], terms[-1] + more)


def _growing_step(rng: Random) -> Question:
    first, step, growth = rng.randint(1, 12), rng.randint(2, 6), rng.randint(2, 5)
    terms = [first]
    for n in range(5):
        terms.append(terms[-1] + step + growth * n)
    return _sequence(terms, terms[-1] - growth, terms[-2] + step)


def _sum_of_two(rng: Random) -> Question:
    terms = [rng.randint(2, 9), rng.randint(3, 14)]
    for _ in range(5):
        terms.append(terms[-1] + terms[-2])
    return _sequence(terms, 2 * terms[-2], terms[-1] + 1)


_RULES: Final[dict[str, tuple[Callable[[Random], Question], ...]]] = {
    "arithmetic": (_sum, _difference, _product, _brackets, _two_products),
    "algebra": (_addend, _multiple, _line, _both_sides, _square),
    "sequences": (_constant_step, _falling_step, _doubling, _growing_step, _sum_of_two),
}
"""Of each area, the easier before the harder."""
