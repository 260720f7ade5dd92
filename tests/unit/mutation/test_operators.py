"""What is done to a module, and what is not; without that a score would mean nothing."""

import ast

import pytest

from tests.mutation.operators import mutants_of, mutated


def changes(source: str) -> set[tuple[str, str]]:
    return {(mutant.before, mutant.after) for mutant in mutants_of("module", source)}


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("x = a < b", ("a < b", "a <= b")),
        ("x = a < b", ("a < b", "a >= b")),
        ("x = a + b", ("a + b", "a - b")),
        ("x = a and b", ("a and b", "a or b")),
        ("x = not a", ("not a", "a")),
        ("x = -a", ("-a", "a")),
        ("x = a.sum(axis=1)", ("a.sum(axis=1)", "a.sum()")),
        ("x = a.sum(axis=1)", ("1", "0")),
        ("x = a[1:-1]", ("1:-1", "1:")),
        ("x = a[1:-1]", ("1:-1", ":-1")),
        ("x = min(a, b)", ("min", "max")),
        ("x = np.argmin(a)", ("np.argmin", "np.argmax")),
        ("x = [a for a in b if a]", (" for a in b if a", " for a in b")),
        ("def f():\n    if a:\n        g()", ("if a:", "if not a:")),
        ("def f():\n    if a:\n        g()", ("g()", "pass")),
        ("def f():\n    raise Wrong(a)", ("raise Wrong(a)", "pass")),
        ("def f(a):\n    a[0] = b", ("a[0] = b", "pass")),
        ("def f(a=1.0): ...", ("1.0", "1.5")),
    ],
)
def test_a_small_wrong_is_done(source, change) -> None:
    assert change in changes(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""More than 1 < 2."""',
        "def f(a: Literal[1]) -> int | None: ...",
        "@dataclass(frozen=True)\nclass A: ...",
        "Rule = Callable[[float], int | None]",
        'raise Wrong(f"{a + 1} of {b}")',
        "assert a < 1",
        "x = np.zeros_like(a, dtype=int)".replace("zeros_like", "empty_like"),
    ],
)
def test_what_says_nothing_is_left_alone(source) -> None:
    assert changes(source) == set()


def test_each_mutant_differs_from_the_source_in_one_place_and_compiles() -> None:
    source = "def f(a, b=(1, 1)):\n    while a[1:] < b:\n        a[0] += 2 * b[0]\n    return a\n"
    original = ast.unparse(ast.parse(source)).splitlines()
    for mutant in mutants_of("module", source):
        compile(mutated(source, mutant), "module", "exec")
        now = ast.unparse(mutated(source, mutant)).splitlines()
        assert sum(old != new for old, new in zip(original, now, strict=True)) == 1, str(mutant)


def test_a_mutant_keeps_its_key_when_lines_are_put_before_it_and_no_two_have_the_same() -> None:
    source = "def f(a):\n    return a + 1 + 1\n"
    keys = [mutant.key for mutant in mutants_of("module", source)]
    assert keys == [mutant.key for mutant in mutants_of("module", "\n\nimport os\n" + source)]
    assert len(set(keys)) == len(keys)


def test_the_lines_of_a_mutant_are_those_of_its_statement_and_of_a_block_its_head() -> None:
    source = "A = 1\ndef f(a):\n    while (\n        a > 2\n    ):\n        g(\n            3\n        )\n"
    lines = {mutant.before: mutant.lines for mutant in mutants_of("module", source)}
    assert lines["1"] == range(0)
    assert lines["2"] == range(3, 6)
    assert lines["3"] == range(6, 9)
