"""The rows of invitations follow from the log alone, also where they are made anew."""

import pytest

from infra.composition import checker, open_feed, projector_connections
from infra.projections.rebuild import rebuild
from projections.invitations.projection import InvitationsProjection
from tests.support.api import eventually
from tests.support.offices import after, somebody, verified

ROWS = """
    SELECT (SELECT json_agg(i ORDER BY invitation_id) FROM read.invitations i)::text,
           (SELECT json_agg(v ORDER BY user_id) FROM read.verified_addresses v)::text
"""


@pytest.fixture
def invited(api, office):
    """One invitation of each kind of end."""
    guests = [verified(api, somebody(api)) for _ in range(3)]
    made = [office.invite(each.email).json()["invitation_id"] for each in guests]
    guests[0].http.post(f"/invitations/{made[0]}/acceptance")
    office.admin.http.delete(f"{office.url}/invitations/{made[1]}")
    last = office.invite(guests[1].email)
    office.admin.http.get(f"{office.url}/invitations", headers=after(last))
    return dict(zip(made, ("accepted", "pending", "pending"), strict=True))


def test_the_rows_are_as_the_log_has_them_and_the_same_when_they_are_made_anew(api, invited):
    def statuses():
        found = api.query(
            "SELECT invitation_id, status FROM read.invitations WHERE invitation_id = ANY (%s)",
            list(invited),
        )
        return dict(found)

    assert eventually(lambda: statuses() == invited)
    report = checker(api.database).check(InvitationsProjection(), 1_000)
    assert report.differences == []
    assert report.streams >= len(invited)

    before = api.query(ROWS)
    with projector_connections(api.database)() as connection, open_feed(api.database) as feed:
        certificate = rebuild(InvitationsProjection(), feed, connection)
    assert certificate.agrees is not False
    assert api.query(ROWS) == before


def test_what_the_checker_is_to_find_it_finds(api, invited):
    [(changed, *_)] = api.query(
        "UPDATE read.invitations SET status = 'revoked' WHERE invitation_id = %s RETURNING invitation_id",
        next(iter(invited)),
    )
    [found] = checker(api.database).check_streams(InvitationsProjection(), [changed]).differences
    assert (found.table, found.column) == ("invitations", "status")
    api.query("UPDATE read.invitations SET status = 'accepted' WHERE invitation_id = %s", changed)
