"""Consistency tokens: what a write appended, so that a read can wait until it is visible.

The token names a stream and its version, because the global position is assigned only after the
write was acknowledged.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from fastapi import Depends, Header

from domain.identifiers import UUID7_PATTERN
from infra.http.base64url import decode_base64url, encode_base64url
from infra.http.errors import BadConsistencyToken
from infra.http.text import INT8_MAX

CONSISTENCY_TOKEN_HEADER: Final = "Consistency-Token"  # noqa: S105 - the name of a header
_VERSION: Final = 1
_MAX_LENGTH: Final = 300
_STREAM_ID = re.compile(f"[a-z][a-z_]{{0,31}}-{UUID7_PATTERN}")


@dataclass(frozen=True, slots=True)
class ConsistencyToken:
    stream_id: str
    version: int

    def encode(self) -> str:
        return encode_base64url(msgspec.json.encode((_VERSION, self.stream_id, self.version)))

    @classmethod
    def decode(cls, text: str) -> "ConsistencyToken":
        """Raises BadConsistencyToken for anything that `encode` does not write."""
        try:
            if len(text) > _MAX_LENGTH:
                raise BadConsistencyToken
            format_version, stream_id, version = msgspec.json.decode(
                decode_base64url(text), type=tuple[int, str, int]
            )
        except ValueError as error:
            raise BadConsistencyToken from error
        if format_version != _VERSION or not _STREAM_ID.fullmatch(stream_id) or not 0 < version <= INT8_MAX:
            raise BadConsistencyToken
        return cls(stream_id, version)


async def sent_consistency_token(
    consistency_token: Annotated[
        str | None,
        Header(
            alias=CONSISTENCY_TOKEN_HEADER,
            description="Token of an earlier write; the answer will include that write.",
            # Said, not checked here: the refusal has a problem type of its own.
            json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$", "minLength": 1, "maxLength": _MAX_LENGTH},
        ),
    ] = None,
) -> ConsistencyToken | None:
    return None if consistency_token is None else ConsistencyToken.decode(consistency_token)


SentConsistencyToken = Annotated[ConsistencyToken | None, Depends(sent_consistency_token)]
