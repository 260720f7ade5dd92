"""E-mail addresses as they are taken: plain ones, as in RFC 5321, without quoting, comments and lists."""

import re
from typing import Final

LONGEST_ADDRESS: Final = 254
ADDRESS_PATTERN: Final = (
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$"
)
ENCODED_WORD: Final = "=?"
"""Begins text of another encoding in a letter's head (RFC 2047): none can be written to such an address."""

_ADDRESS: Final = re.compile(ADDRESS_PATTERN)


def is_address(text: str) -> bool:
    """Whether letters can be sent to it, as far as its characters tell."""
    return len(text) <= LONGEST_ADDRESS and ENCODED_WORD not in text and _ADDRESS.fullmatch(text) is not None
