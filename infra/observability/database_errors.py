"""What may be told of an error of the database.

PostgreSQL's DETAIL and CONTEXT quote the rows that an error is about, and psycopg makes them part of the
error's text. Rows hold personal data and keys, so of an error only its code and its first sentence are told.
"""

import re
import traceback
from collections.abc import Iterator

import psycopg
from structlog.typing import ExcInfo

from infra.observability.redaction import mask_passwords

# In a text of which nothing else is known: also as `repr` writes line breaks.
_REST_OF_TEXT = re.compile(r"(?:\n|\\n)\s*(?:DETAIL|CONTEXT):.*", re.DOTALL)
_LABELLED = re.compile(r"[ |+]*(?:DETAIL|CONTEXT):")
# What a traceback puts before a line: nothing, or the frame of an exception group.
_FRAME = re.compile(r"^[ |+]*")


def told(error: BaseException) -> str:
    """The error in a sentence that may be kept and shown to operators."""
    name = type(error).__name__
    quoted = _quoted(error)
    if quoted is None:
        return f"{name}: {without_details(str(error))}".strip()
    code = f" ({quoted.sqlstate})" if quoted.sqlstate else ""
    return f"{name}{code}: {_sentence(quoted)}"


def without_details(text: str) -> str:
    """`text` up to the first DETAIL or CONTEXT in it."""
    return _REST_OF_TEXT.sub("", text)


def traceback_told(exc_info: ExcInfo) -> str:
    """The traceback with its chain and groups, without what the database's errors quote."""
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    hidden = {
        line.strip()
        for error in _related(exc_info[1])
        if isinstance(error, psycopg.Error)
        for line in _hidden_lines(error)
    }
    kept = [line for line in text.split("\n") if _FRAME.sub("", line).strip() not in hidden]
    # An error may have been made of another's text, without keeping that other.
    return "\n".join(line for line in kept if not _LABELLED.match(line))


def _quoted(error: BaseException) -> psycopg.Error | None:
    """The database's error that this one is, or whose text it repeats (the event store's library does)."""
    if isinstance(error, psycopg.Error):
        return error
    cause = error.__cause__
    return cause if isinstance(cause, psycopg.Error) and str(cause) in str(error) else None


def _sentence(error: psycopg.Error) -> str:
    primary = error.diag.message_primary
    # Without one the error is the client's own: no connection, mostly.
    return mask_passwords(primary or without_details(str(error)).strip())


def _hidden_lines(error: psycopg.Error) -> Iterator[str]:
    """By what the error is made of and not by labels, which a server writes in its own language."""
    if shown := error.diag.message_primary:
        rest = str(error).split("\n")[len(shown.split("\n")) :]
        yield from (line for line in rest if line.strip())


def _related(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
