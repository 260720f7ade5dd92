"""Entity tags: the version of a stream, so that nobody overwrites what they have not seen."""

import re
from typing import Annotated, Final

from fastapi import Depends, Header

from infra.http.errors import BadEntityTag

ETAG_HEADER: Final = "ETag"
IF_MATCH_HEADER: Final = "If-Match"
_STRONG_TAG = re.compile(r'"([1-9][0-9]{0,17})"')


def etag(version: int) -> str:
    """The strong entity tag of a stream version."""
    return f'"{version}"'


def version_in(if_match: str) -> int | None:
    """The version that the client has seen; None for `*` (any). Raises BadEntityTag."""
    if if_match.strip() == "*":
        return None
    found = _STRONG_TAG.fullmatch(if_match.strip())
    if found is None:
        raise BadEntityTag
    return int(found[1])


async def expected_version(
    if_match: Annotated[
        str | None,
        Header(
            alias=IF_MATCH_HEADER,
            description="`ETag` of the answer that is being changed, or `*`.",
            # Said, not checked here: the refusal has a problem type of its own.
            json_schema_extra={"pattern": r'^(\*|"[1-9][0-9]{0,17}")$', "examples": ['"3"']},
        ),
    ] = None,
) -> int | None:
    return None if if_match is None else version_in(if_match)


ExpectedVersion = Annotated[int | None, Depends(expected_version)]
"""The stream version that the client has seen, or None where it does not care."""
