"""Whose address a request comes from, whatever its headers claim."""

import tracemalloc

import pytest

from infra.rate_limits.addresses import UNKNOWN, Origin, networks

PROXIES = networks(["10.0.0.0/8", "fd00::/8"])
SCHOOLS = networks(["203.0.113.0/24", "203.0.113.128/25", "2001:db8:5::/48"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("198.51.100.7", "", "198.51.100.7"),
        # Nobody but a trusted proxy may say who somebody is.
        ("198.51.100.7", "192.0.2.1", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        # What the client made up stands left of what the proxy saw.
        ("10.0.0.1", "8.8.8.8, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "8.8.8.8, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "192.0.2.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
        ("fd00::1", "[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"),
        # One customer's network is one address, whichever of its addresses is used.
        ("2001:db8:1:2:ffff::9", "", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", "", "198.51.100.7"),
        ("", "", UNKNOWN),
        ("testclient", "192.0.2.1", UNKNOWN),
    ],
)
def test_the_address_is_the_last_one_that_no_trusted_proxy_has(peer, forwarded, counted):
    assert Origin(PROXIES, SCHOOLS).of(peer, forwarded) == (counted, False)


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("203.0.113.5", "203.0.113.0/24"),
        ("203.0.113.200", "203.0.113.128/25"),
        ("2001:db8:5:77::1", "2001:db8:5::/48"),
    ],
)
def test_an_organisation_s_addresses_count_as_one_of_its_own(peer, network):
    assert Origin(PROXIES, SCHOOLS).of(peer, "") == (network, True)


def test_without_trusted_proxies_nobody_is_believed():
    assert Origin().of("127.0.0.1", "192.0.2.1") == ("127.0.0.1", False)


def test_a_long_chain_of_addresses_costs_no_more_than_a_short_one():
    chain = ", ".join(["10.0.0.9"] * 10_000)
    assert Origin(PROXIES).of("10.0.0.1", "192.0.2.1, " + chain) == ("10.0.0.9", False)


@pytest.mark.parametrize("trusted", [(), PROXIES], ids=["a stranger's header", "a proxy's header"])
def test_what_is_kept_of_long_headers_is_short(trusted):
    origin = Origin(trusted)
    tracemalloc.start()
    try:
        for number in range(200):
            origin.of("10.0.0.1", f"{number}, " + "x" * 50_000 + f", 192.0.2.{number}")
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 200 * 5_000


def test_what_a_stranger_claims_is_not_even_remembered():
    origin = Origin(PROXIES)
    assert {origin.of("198.51.100.7", f"192.0.2.{number}") for number in range(100)} == {
        ("198.51.100.7", False)
    }
    assert origin._counted.cache_info().currsize == 1


def test_an_address_that_the_end_of_a_long_header_cuts_in_two_is_not_read():
    end = "1.2.3.4, ".ljust(1_024 - len("10.0.0.9")) + "10.0.0.9"
    assert Origin(PROXIES).of("10.0.0.1", "9" + end) == ("10.0.0.9", False)


def test_a_proxy_s_header_that_is_one_long_entry_names_nobody():
    assert Origin(PROXIES).of("10.0.0.1", "1" * 50_000) == ("10.0.0.1", False)


def test_what_is_no_network_is_refused():
    with pytest.raises(ValueError, match=r"203\.0\.113\.5/24"):
        networks(["203.0.113.5/24"])
