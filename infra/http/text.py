"""Text and numbers that a client may send, in types that refuse what the rest of the system cannot hold.

PostgreSQL stores no NUL and no lone surrogate; control characters have no business in names and
answers. Text is normalised to NFC, so that what looks equal compares equal.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from domain.identifiers import UUID7_PATTERN

INT8_MAX = 2**63 - 1

_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FORBIDDEN_IN_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
# The same rules for the OpenAPI document (ECMA 262); a surrogate cannot be written there.
_PATTERN_CLASS = r"\u0000-\u001f\u007f-\u009f"
_PATTERN_CLASS_IN_LINES = r"\u0000-\u0008\u000b-\u001f\u007f-\u009f"
EXAMPLE_UUID7 = "01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"


@dataclass(frozen=True, slots=True)
class SafeText:
    """Marker for `Annotated[str, SafeText(...)]`, in bodies as in path and query parameters.

    Lengths count code points as they were sent (NFC may change them a little). With a minimum of one
    or more the text must hold something other than white space. `multi_line` allows line feed and tab.
    """

    min_length: int = 1
    max_length: int = 200
    multi_line: bool = False

    def clean(self, text: str) -> str:
        """The text in NFC. Raises PydanticCustomError (a ValueError) when it cannot be accepted."""
        if has_forbidden_characters(text, multi_line=self.multi_line):
            raise PydanticCustomError(
                "unsafe_text", "Text must not hold control characters or lone surrogates"
            )
        if self.min_length and not text.strip():
            raise PydanticCustomError("blank_text", "Text must hold more than white space")
        return unicodedata.normalize("NFC", text)

    @property
    def pattern(self) -> str:
        forbidden = _PATTERN_CLASS_IN_LINES if self.multi_line else _PATTERN_CLASS
        if self.min_length:
            return rf"^[^{forbidden}]*[^\s{forbidden}][^{forbidden}]*$"
        return f"^[^{forbidden}]*$"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.str_schema(min_length=self.min_length, max_length=self.max_length)
        return core_schema.no_info_after_validator_function(self.clean, bounded)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}


@dataclass(frozen=True, slots=True)
class StreamId:
    """Marker for `Annotated[str, StreamId("exam")]`: an id of the form `<category>-<uuid7>`."""

    category: str

    @property
    def pattern(self) -> str:
        return f"^{self.category}-{UUID7_PATTERN}$"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.str_schema(pattern=self.pattern, max_length=len(self.category) + 37)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "examples": [f"{self.category}-{EXAMPLE_UUID7}"]}


class RequestModel(BaseModel):
    """Base of request bodies: unknown fields are errors, and numbers are finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


def has_forbidden_characters(text: str, *, multi_line: bool = False) -> bool:
    return (_FORBIDDEN_IN_LINES if multi_line else _FORBIDDEN).search(text) is not None


def fits_postgres(value: Any) -> bool:
    """Whether PostgreSQL takes each part of a value built from text, numbers, lists and mappings."""
    match value:
        case bool():
            return True
        case int():
            return -INT8_MAX - 1 <= value <= INT8_MAX
        case str():
            return not has_forbidden_characters(value, multi_line=True)
        case list() | tuple() | set() | frozenset():
            return all(fits_postgres(each) for each in value)
        case dict():
            return all(fits_postgres(name) and fits_postgres(each) for name, each in value.items())
        case _:
            return True
