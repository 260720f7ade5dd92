"""What a docstring of `domain.cat` cites can be looked up."""

import re
from pathlib import Path

import pytest

CAT = Path(__file__).resolve().parents[2] / "domain" / "cat"
LISTED = re.findall(
    r"^- \*\*\[(\w+)\]\*\* ", (CAT / "REFERENCES.md").read_text(encoding="utf-8"), re.MULTILINE
)
CITED = re.compile(r"\[([A-Za-z]+\d{4}[a-z]?)\]")


@pytest.mark.parametrize("path", sorted(CAT.rglob("*.py")), ids=lambda path: str(path.relative_to(CAT)))
def test_each_work_that_a_module_cites_stands_in_the_references(path) -> None:
    assert set(CITED.findall(path.read_text(encoding="utf-8"))) <= set(LISTED)


def test_each_work_stands_there_once_in_order() -> None:
    assert sorted(set(LISTED), key=str.casefold) == LISTED


def test_each_work_is_cited() -> None:
    everything = "".join(path.read_text(encoding="utf-8") for path in CAT.rglob("*.py"))
    assert [key for key in LISTED if key not in everything] == []
