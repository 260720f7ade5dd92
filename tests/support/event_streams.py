"""Server-sent events as a client reads them."""

import json
from contextlib import contextmanager

LIMIT_S = 15


class Stream:
    """The lines of one open answer; each read fails after a while instead of waiting for ever."""

    def __init__(self, response):
        self.response = response
        self._lines = response.iter_lines()

    def block(self):
        """The fields up to the next empty line; None at the end of the stream."""
        fields = {}
        for line in self._lines:
            if not line:
                return fields
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        return None

    def event(self):
        """The next event that is no comment."""
        while (fields := self.block()) is not None:
            if "event" in fields:
                return fields["event"], int(fields["id"]), json.loads(fields["data"])
        return None


@contextmanager
def following(sitting, last_event_id=None, client=None, **params):
    headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    client = client or sitting.person.http
    with client.stream(
        "GET", f"{sitting.url}/events", params=params, headers=headers, timeout=LIMIT_S
    ) as response:
        assert response.status_code == 200, response.read()
        yield Stream(response)
