"""Points in time as clients may send them: RFC 3339, and nothing that merely resembles it."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from infra.http.moments import Moment

moment = TypeAdapter(Moment)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-03-02T12:00:00Z", datetime(2026, 3, 2, 12, tzinfo=UTC)),
        ("2026-03-02t12:00:00z", datetime(2026, 3, 2, 12, tzinfo=UTC)),
        ("2026-03-02T21:00:00.25+09:00", datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-03-02T12:00:00-00:00", datetime(2026, 3, 2, 12, tzinfo=UTC)),
    ],
)
def test_rfc_3339_is_taken(text, meant):
    assert moment.validate_python(text) == meant


@pytest.mark.parametrize(
    "value",
    [
        "1700000000",
        "1700000000.5",
        1700000000,
        "2026-03-02",
        "2026-03-02T12:00:00",
        "2026-03-02 12:00:00Z",
        "2026-03-02T12:00Z",
        "2026-03-02T12:00:00+0900",
        "2026-03-02T12:00:00Z\n",
        "2026-13-02T12:00:00Z",
        "٢026-03-02T12:00:00Z",
        "",
    ],
)
def test_everything_else_is_refused(value):
    with pytest.raises(ValidationError):
        moment.validate_python(value)
