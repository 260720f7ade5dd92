"""Right or wrong: the score of one response to one item."""

import unicodedata
from decimal import Context, Decimal
from typing import assert_never

from domain.items.content import ItemContent, MultipleChoice, MultipleResponse, Numeric, ShortText
from domain.items.responses import ChosenOptions, GivenNumber, GivenText, Response

# Numbers have at most 30 digits before and after the point: their difference is exact in 64.
_EXACT = Context(prec=64)

SCORING_VERSION = 1
"""Written into every `AttemptScored`; to be raised when the rules below change."""


def score(content: ItemContent, response: Response | None) -> int:
    """The points that a response earns: all of the item's points, or none.

    No answer earns nothing. A multiple response item is right when exactly the keyed options are
    chosen. Numbers are compared as decimals, exactly, within the key's tolerance. Texts are compared
    after Unicode compatibility normalisation (NFKC), with white space collapsed and, unless the key
    says otherwise, without regard to case.
    """
    return content.points if response is not None and _is_right(content, response) else 0


def _is_right(content: ItemContent, response: Response) -> bool:
    match content:
        case MultipleChoice() | MultipleResponse():
            return isinstance(response, ChosenOptions) and set(response.options) == set(content.key.options)
        case Numeric():
            if not isinstance(response, GivenNumber):
                return False
            off = _EXACT.subtract(Decimal(response.value), Decimal(content.key.value)).copy_abs()
            return off <= Decimal(content.key.tolerance)
        case ShortText():
            return isinstance(response, GivenText) and _folded(
                response.text, case_sensitive=content.key.case_sensitive
            ) in {
                _folded(accepted, case_sensitive=content.key.case_sensitive)
                for accepted in content.key.accepted
            }
        case _:
            assert_never(content)


def _folded(text: str, *, case_sensitive: bool) -> str:
    collapsed = " ".join(unicodedata.normalize("NFKC", text).split())
    return collapsed if case_sensitive else unicodedata.normalize("NFKC", collapsed.casefold())
