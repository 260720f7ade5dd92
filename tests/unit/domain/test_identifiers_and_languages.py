"""Stream ids, and texts in several languages."""

import pytest

from domain.identifiers import CATEGORIES, category_of, stream_id
from domain.languages import in_language
from tests.support.exam_parts import uuid7


@pytest.mark.parametrize("category", sorted(CATEGORIES))
def test_a_stream_id_names_its_category(category):
    made = stream_id(category, uuid7(1))

    assert made == f"{category}-{uuid7(1)}"
    assert category_of(made) == category


@pytest.mark.parametrize(
    "text",
    [
        "",
        "user",
        "user-",
        uuid7(1),
        f"pupil-{uuid7(1)}",
        f"User-{uuid7(1)}",
        f"user-{uuid7(1).upper()}",
        f"user-{uuid7(1)}\n",
        f" user-{uuid7(1)}",
        f"user-{uuid7(1)}0",
        f"user_{uuid7(1)}",
        "user-019cabcd-0000-4000-8000-000000000001",
        "user-019cabcd-0000-7000-c000-000000000001",
    ],
)
def test_nothing_else_is_a_stream_id(text):
    assert category_of(text) is None


def test_no_stream_id_is_made_of_wrong_parts():
    with pytest.raises(ValueError, match="not a stream id"):
        stream_id("user", "1")
    with pytest.raises(ValueError, match="not a stream id"):
        stream_id("pupil", uuid7(1))


@pytest.mark.parametrize(
    ("text", "wanted", "shown"),
    [
        ({"ko": "가", "en": "a"}, "en", ("en", "a")),
        ({"en": "a", "ko": "가"}, "ja", ("ko", "가")),
        ({"zh": "中", "ja": "あ"}, "ko", ("ja", "あ")),
    ],
)
def test_a_text_is_shown_in_the_wanted_language_or_else_in_the_first_there_is(text, wanted, shown):
    assert in_language(text, wanted) == shown


def test_a_text_in_no_language_cannot_be_shown():
    with pytest.raises(ValueError, match="at least one language"):
        in_language({}, "ko")
