"""Rows that PostgreSQL quotes in its errors reach no log line and no kept sentence."""

import io
import json
import logging

import psycopg
import pytest
import structlog
from eventsourcing.persistence import IntegrityError

from infra.observability.database_errors import told, traceback_told
from infra.observability.logging import configure_logging

EMAIL = "minji@example.org"


@pytest.fixture
def violation(database):
    """What the database says of a row that it refuses; the row's e-mail has a line break in its neighbour."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.people (id int, note text, email text CHECK (email = ''))")
        with pytest.raises(psycopg.errors.CheckViolation) as raised:
            connection.execute("INSERT INTO public.people VALUES (1, E'a\\nb', %s)", [EMAIL])
    assert EMAIL in str(raised.value), "or the tests here show nothing"
    return raised.value


@pytest.fixture
def logged():
    """The log as text."""
    root, stream = logging.getLogger(), io.StringIO()
    before = list(root.handlers), root.level
    configure_logging("info", "json", stream)
    yield stream.getvalue
    root.handlers[:], level = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def wrapped(error):
    """As the event store's library passes errors on: with their text, in one of its own."""
    other = IntegrityError(str(error))
    other.__cause__ = error
    return other


def in_a_group(error):
    return ExceptionGroup("several", [error, ValueError("another")])


@pytest.mark.parametrize("form", [lambda error: error, wrapped, in_a_group])
def test_a_traceback_tells_what_happened_and_not_to_whom(violation, logged, form):
    try:
        raise form(violation)  # noqa: TRY301 - a traceback is what is wanted
    except Exception as error:
        structlog.get_logger().exception("ours")
        structlog.get_logger().error("given", exc_info=error)
        logging.getLogger("library").exception("theirs")

    assert EMAIL not in logged()
    lines = [json.loads(line) for line in logged().splitlines()]
    assert len(lines) == 3
    for line in lines:
        assert "Traceback" in line["exception"]
        assert 'violates check constraint "people_email_check"' in line["exception"]


def test_a_text_or_an_error_in_a_field_is_cut_off_before_the_row(violation, logged):
    structlog.get_logger().warning("refused", error=str(violation), cause=violation, all=[violation])
    logging.getLogger("library").error("task failed: %r", violation)

    assert EMAIL not in logged()
    assert logged().count("people_email_check") == 4


def test_a_server_that_speaks_another_language_changes_nothing(violation):
    class Korean(psycopg.errors.CheckViolation):
        diag = violation.diag

    error = Korean(str(violation).replace("DETAIL:", "상세정보:"))
    assert EMAIL in str(error)
    assert EMAIL not in traceback_told((Korean, error, None))
    assert EMAIL not in told(error)


def test_the_kept_sentence_has_the_code_and_the_first_sentence(violation):
    expected = 'new row for relation "people" violates check constraint "people_email_check"'
    assert told(violation) == f"CheckViolation (23514): {expected}"
    assert told(wrapped(violation)) == f"IntegrityError (23514): {expected}"
    assert told(KeyError("a")) == "KeyError: 'a'"
