import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from infra.observability.logging import configure_logging


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    names = (
        None,
        "uvicorn",
        "uvicorn.error",
        "uvicorn.access",
        "asyncio",
        "httpx",
        "httpcore",
        "psycopg.pool",
    )
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_and_fields(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)

    structlog.get_logger().info("attempt started", attempt="attempt-1", items=5)

    (line,) = lines(stream)
    assert line["event"] == "attempt started"
    assert (line["level"], line["attempt"], line["items"]) == ("info", "attempt-1", 5)
    assert line["at"].endswith("Z")


def test_the_ids_of_the_request_are_on_every_line_of_it(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    structlog.contextvars.bind_contextvars(request_id="r1", correlation_id="c1")

    structlog.get_logger().info("ours")
    logging.getLogger("somebody.elses").warning("theirs")

    assert [(line["request_id"], line["correlation_id"]) for line in lines(stream)] == [("r1", "c1")] * 2


def test_the_standard_librarys_logs_come_in_the_same_form(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)

    logging.getLogger("library").warning("disk %s is %d%% full", "sda", 93, extra={"disk": "sda"})

    (line,) = lines(stream)
    assert line["event"] == "disk sda is 93% full"
    assert (line["level"], line["logger"], line["disk"]) == ("warning", "library", "sda")


def test_uvicorn_is_routed_through_and_its_access_log_is_not_repeated(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)

    logging.getLogger("uvicorn.error").info("Application startup complete.")
    logging.getLogger("uvicorn.access").info("GET / 200")

    assert [line["event"] for line in lines(stream)] == ["Application startup complete."]


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "new_password",
        "password_hash",
        "Authorization",
        "token",
        "access_token",
        "refresh-token",
        "email",
        "e-mail",
        "guardian_email",
        "cookie",
        "client_secret",
    ],
)
def test_secrets_and_personal_data_are_dropped_however_deep(key: str, stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)

    structlog.get_logger().info("x", **{key: "hunter2"})
    structlog.get_logger().info("x", body={"people": [{key: "hunter2", "id": 1}]})
    logging.getLogger("library").warning("x", extra={key: "hunter2"})

    assert "hunter2" not in stream.getvalue()
    assert lines(stream)[1]["body"] == {"people": [{"id": 1}]}


def test_the_password_of_a_database_is_masked_in_texts_and_tracebacks(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    log = structlog.get_logger()
    url = "postgresql://ann:hunter2@db/exams"

    log.info("connecting", to=url)
    try:
        raise ConnectionError(f"no answer from {url}")  # noqa: TRY301 - a traceback is what is wanted
    except ConnectionError:
        log.exception("failed")
        logging.getLogger("library").exception("failed too")

    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("postgresql://ann:***@db/exams") == 3
    assert all("Traceback" in line["exception"] for line in lines(stream)[1:])


def test_what_is_below_the_level_is_not_written(stream: io.StringIO) -> None:
    configure_logging("warning", "json", stream)

    structlog.get_logger().info("ours")
    logging.getLogger("library").info("theirs")

    assert stream.getvalue() == ""


def test_anything_can_be_logged_without_breaking_the_line(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)

    structlog.get_logger().info("odd", surrogate="\ud800", newline="a\nb", thing=object(), korean="시험")

    (line,) = lines(stream)
    assert (line["newline"], line["korean"]) == ("a\nb", "시험")


def test_a_warning_of_python_becomes_a_line(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("soon gone", UserWarning, stacklevel=1)

    assert "soon gone" in lines(stream)[-1]["event"]


def test_a_person_at_a_terminal_gets_lines_to_read(stream: io.StringIO) -> None:
    configure_logging("info", "console", stream)

    structlog.get_logger().info("attempt started", items=5)
    logging.getLogger("library").warning("theirs")

    ours, theirs = stream.getvalue().splitlines()
    assert "attempt started" in ours
    assert "items=5" in ours
    assert "theirs" in theirs


def test_without_a_terminal_auto_means_json(stream: io.StringIO) -> None:
    configure_logging("info", "auto", stream)

    structlog.get_logger().info("x")

    assert lines(stream)[0]["event"] == "x"


def test_configuring_again_replaces_what_was_configured(stream: io.StringIO) -> None:
    log = structlog.get_logger()
    configure_logging("info", "json", io.StringIO())
    log.info("first")

    configure_logging("info", "json", stream)
    log.info("second")
    logging.getLogger("library").warning("third")

    assert [line["event"] for line in lines(stream)] == ["second", "third"]
