"""Documents as releases before adaptive exams wrote them, which lack the fields that came later.

The files of tests/golden/earlier never change.
"""

from pathlib import Path

import msgspec
import pytest

from domain.event_types import EVENTS
from infra.event_store.codec import EventCodec, PlainPersonalCodec
from tests.support.recorded_examples import EXAMPLES

EARLIER = Path(__file__).resolve().parents[2] / "golden" / "earlier"

CAME_LATER = {
    "attempt.scored.v1": {"ability"},
    "exam.drafted.v1": {"adaptive", "pool"},
    "exam.published.v1": {"adaptive", "pool"},
}


def of_the_fields(data):
    """The part of a document that holds what the event is about."""
    return data.get("blueprint", data)


@pytest.mark.parametrize("name", CAME_LATER)
def test_a_document_without_the_later_fields_is_read_with_nothing_in_them(name):
    document = msgspec.json.decode((EARLIER / f"{name}.json").read_bytes(), type=dict[str, msgspec.Raw])
    today = EXAMPLES[name]

    read = EventCodec(EVENTS, PlainPersonalCodec()).decode(
        today.stream_id, today.version, name, bytes(document["meta"]), bytes(document["data"])
    )

    was = of_the_fields(msgspec.json.decode(document["data"]))
    now = of_the_fields(msgspec.to_builtins(read.event))
    assert set(now) - set(was) == CAME_LATER[name]
    assert {field: now[field] for field in CAME_LATER[name]} == dict.fromkeys(CAME_LATER[name])
    assert {field: now[field] for field in was} == {
        field: of_the_fields(msgspec.to_builtins(today.event))[field] for field in was
    }


def test_each_earlier_document_is_looked_at():
    assert {path.stem for path in EARLIER.iterdir()} == set(CAME_LATER)
