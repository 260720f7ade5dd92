"""Whom passkeys are made for, where little or nothing is set."""

import pytest

from infra.auth.oidc_opening import relying_party
from infra.settings import PasskeySettings


@pytest.mark.parametrize(
    ("site", "rp_id", "origins"),
    [
        ("https://univprep.example.org", "univprep.example.org", ("https://univprep.example.org",)),
        ("https://example.org:8443/app", "example.org", ("https://example.org:8443",)),
        ("http://127.0.0.1:8000", "localhost", ("http://localhost:8000",)),
        ("http://0.0.0.0:8000", "localhost", ("http://localhost:8000",)),
    ],
)
def test_it_is_the_site_where_nothing_is_set(site, rp_id, origins):
    party = relying_party(PasskeySettings(), site)
    assert (party.rp_id, party.origins) == (rp_id, origins)


def test_the_host_of_the_first_origin_counts_where_no_domain_is_set():
    settings = PasskeySettings(origins="https://a.example.org, https://b.example.org")
    party = relying_party(settings, "https://elsewhere.example")
    assert party.rp_id == "a.example.org"
    assert party.origins == ("https://a.example.org", "https://b.example.org")


def test_a_domain_above_several_sites_may_be_set():
    settings = PasskeySettings(origins="https://a.example.org,https://b.example.org", rp_id="example.org")
    assert relying_party(settings, "https://elsewhere.example").rp_id == "example.org"
