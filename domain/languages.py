"""The languages that content may be written in, and texts in several of them."""

from typing import Literal, TypeAlias, get_args

Language = Literal["ko", "en", "ja", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

LocalizedText: TypeAlias = dict[Language, str]
"""The same text in one or more languages."""


def in_language(text: LocalizedText, wanted: Language) -> tuple[Language, str]:
    """The text in the wanted language, else in the first one that there is, with its language."""
    if wanted in text:
        return wanted, text[wanted]
    for language in LANGUAGES:
        if language in text:
            return language, text[language]
    raise ValueError("a localized text needs at least one language")
