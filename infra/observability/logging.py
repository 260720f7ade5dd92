"""Structured logs: one JSON object a line on standard error, or coloured lines for a person at a terminal.

structlog, the standard library's `logging` and uvicorn all end here, in the same shape. What is bound with
`structlog.contextvars` (request id, correlation id) is on every line. Secrets and personal data are dropped
(`redaction.py`): logs may be kept and copied where the event log may not.
"""

import json
import logging
import sys
from collections.abc import Sequence
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from infra.observability.database_errors import told, traceback_told, without_details
from infra.observability.redaction import is_sensitive, mask_passwords, without_sensitive

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

# uvicorn's access log would repeat our own access line, without its ids.
_SILENCED = ("uvicorn.access",)
_ROUTED = ("uvicorn", "uvicorn.error")
# Chatty at INFO, and never about us.
_QUIET = ("asyncio", "httpx", "httpcore", "psycopg.pool")


def configure_logging(level: Level = "info", format: Format = "auto", stream: TextIO | None = None) -> None:  # noqa: A002 - as in the settings
    """Sets up the logs of this process; calling it again replaces what was set up. `stream` is for tests."""
    out = stream if stream is not None else sys.stderr
    as_json = format == "json" or (format == "auto" and not out.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_shared(), *_rendering(as_json=as_json, colors=out.isatty())],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,  # or a second call would not reach loggers already in use
    )
    _route_standard_logging(threshold, out, as_json=as_json)


def drop_sensitive(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """A processor: the line without its secrets and personal data."""
    return {key: without_sensitive(value) for key, value in line.items() if not is_sensitive(key)}


def drop_color_message(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """A processor: the line without uvicorn's second, coloured text of the same message."""
    line.pop("color_message", None)
    return line


def drop_details(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """A processor: the line without the rows that errors of the database quote."""
    return {key: value if key == "exception" else _without_details(value) for key, value in line.items()}


def _without_details(value: Any) -> Any:
    match value:
        case str():
            return without_details(value)
        case BaseException():
            return told(value)
        case dict():
            return {key: _without_details(each) for key, each in value.items()}
        case list() | tuple():
            return [_without_details(each) for each in value]
        case _:
            return value


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]


def _rendering(*, as_json: bool, colors: bool) -> list[Processor]:
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, timestamp_key="at"
        )
    )
    # The traceback becomes text first, so that a connection string in it is masked as well.
    return [structlog.processors.ExceptionRenderer(traceback_told), drop_details, drop_sensitive, renderer]


def _route_standard_logging(threshold: int, out: TextIO, *, as_json: bool) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                *_shared(),
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                drop_color_message,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(as_json=as_json, colors=out.isatty()),
            ],
        )
    )
    _replace_handlers(logging.getLogger(), [handler])
    logging.getLogger().setLevel(threshold)
    logging.captureWarnings(capture=True)
    for name in _ROUTED:
        _replace_handlers(logging.getLogger(name), [])
        logging.getLogger(name).propagate = True
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def _replace_handlers(logger: logging.Logger, handlers: Sequence[logging.Handler]) -> None:
    for old in list(logger.handlers):
        logger.removeHandler(old)
    for new in handlers:
        logger.addHandler(new)


def _to_json(line: EventDict, **_: Any) -> str:
    # ASCII only: a lone surrogate in somebody's text must not make a line unreadable.
    return json.dumps(line, default=lambda value: mask_passwords(str(value)), separators=(",", ":"))
