"""Which ways into an account there are after what has happened, and which of them can be taken away."""

import pytest

from domain.users import ways_in
from domain.users.events import IdentityLinked, IdentityUnlinked, PasskeyRegistered, PasskeyRemoved
from domain.users.ways_in import (
    AnotherIdentityLinked,
    IdentityNotFound,
    LastWayIn,
    LinkedIdentity,
    Passkey,
    PasskeyNotFound,
    TooManyPasskeys,
    WaysIn,
)

GOOGLE = LinkedIdentity("google", "a" * 64)
SCHOOL = LinkedIdentity("school", "b" * 64)
PHONE = Passkey("ref-1", "Phone")
KEY = Passkey("ref-2", "Key")
ALL = {"google", "school"}


def after(*events):
    ways = WaysIn()
    for event in events:
        ways = ways_in.evolve(ways, event)
    return ways


def test_what_was_added_is_there_and_what_was_taken_away_is_not():
    added = [
        IdentityLinked(provider="google", subject_hash="a" * 64),
        IdentityLinked(provider="school", subject_hash="b" * 64),
        PasskeyRegistered(credential_ref="ref-1", name="Phone"),
        PasskeyRegistered(credential_ref="ref-2", name="Key"),
    ]
    assert after(*added) == WaysIn((GOOGLE, SCHOOL), (PHONE, KEY))
    removed = [
        IdentityUnlinked(provider="google", subject_hash="a" * 64),
        PasskeyRemoved(credential_ref="ref-2"),
    ]
    assert after(*added, *removed) == WaysIn((SCHOOL,), (PHONE,))


def test_an_identity_that_is_linked_is_not_linked_again():
    assert ways_in.link(WaysIn((GOOGLE,)), "google", GOOGLE.subject_hash) == []


def test_a_second_identity_of_a_provider_is_refused():
    with pytest.raises(AnotherIdentityLinked):
        ways_in.link(WaysIn((GOOGLE,)), "google", "c" * 64)


@pytest.mark.parametrize(
    ("ways", "has_password", "in_use", "allowed"),
    [
        (WaysIn((GOOGLE,)), True, ALL, True),
        (WaysIn((GOOGLE,)), False, ALL, False),
        (WaysIn((GOOGLE, SCHOOL)), False, ALL, True),
        (WaysIn((GOOGLE, SCHOOL)), False, {"google"}, False),
        (WaysIn((GOOGLE,), (PHONE,)), False, ALL, True),
        (WaysIn((GOOGLE,), (PHONE,)), False, set(), True),
    ],
)
def test_an_identity_can_be_unlinked_where_another_way_in_is_left(ways, has_password, in_use, allowed):
    if not allowed:
        with pytest.raises(LastWayIn):
            ways_in.unlink(ways, "google", has_password=has_password, in_use=in_use)
        return
    [unlinked] = ways_in.unlink(ways, "google", has_password=has_password, in_use=in_use)
    assert unlinked == IdentityUnlinked(provider="google", subject_hash=GOOGLE.subject_hash)


@pytest.mark.parametrize(
    ("ways", "has_password", "in_use", "allowed"),
    [
        (WaysIn((), (PHONE,)), True, ALL, True),
        (WaysIn((), (PHONE,)), False, ALL, False),
        (WaysIn((), (PHONE, KEY)), False, ALL, True),
        (WaysIn((GOOGLE,), (PHONE,)), False, ALL, True),
        # Where nobody signs in with the provider any more, its identity opens nothing.
        (WaysIn((GOOGLE,), (PHONE,)), False, {"school"}, False),
    ],
)
def test_a_passkey_can_be_removed_where_another_way_in_is_left(ways, has_password, in_use, allowed):
    if not allowed:
        with pytest.raises(LastWayIn):
            ways_in.remove_passkey(ways, "ref-1", has_password=has_password, in_use=in_use)
        return
    removed = ways_in.remove_passkey(ways, "ref-1", has_password=has_password, in_use=in_use)
    assert removed == [PasskeyRemoved(credential_ref="ref-1")]


def test_what_is_not_there_cannot_be_taken_away():
    with pytest.raises(IdentityNotFound):
        ways_in.unlink(WaysIn((GOOGLE,)), "school", has_password=True, in_use=ALL)
    with pytest.raises(PasskeyNotFound):
        ways_in.remove_passkey(WaysIn((), (PHONE,)), "ref-2", has_password=True, in_use=ALL)


def test_there_are_twenty_passkeys_at_most():
    many = WaysIn((), tuple(Passkey(f"ref-{number}", "x") for number in range(20)))
    with pytest.raises(TooManyPasskeys):
        ways_in.add_passkey(many, "one-more", "x")
    assert ways_in.add_passkey(many, "ref-3", "sent twice") == []
