"""Providers as settings: what cannot be right is refused at the start, by name."""

import json

import pytest

from infra.settings import InvalidSettings, load_settings

PROVIDER = {"name": "example", "issuer": "https://id.example.org", "client_id": "megacity"}


@pytest.fixture
def loaded(monkeypatch, tmp_path):
    monkeypatch.setenv("MEGACITY_VAR_DIR", str(tmp_path))

    def load(*providers):
        monkeypatch.setenv("MEGACITY_OIDC__PROVIDERS", json.dumps(providers))
        return load_settings()

    return load


def test_providers_come_from_one_variable(loaded):
    [provider] = loaded(
        {**PROVIDER, "title": "Example ID", "client_secret_file": "/run/secret"}
    ).oidc.providers
    assert (provider.name, provider.title, provider.scopes) == (
        "example",
        "Example ID",
        ("openid", "email", "profile"),
    )
    assert str(provider.client_secret_file) == "/run/secret"


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8080", "http://localhost:9000/realm", "http://[::1]:1"])
def test_an_issuer_on_this_machine_may_do_without_https(loaded, issuer):
    assert loaded({**PROVIDER, "issuer": issuer}).oidc.providers[0].issuer == issuer


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://id.example.org"},
        {"issuer": "http://127.0.0.1.example.org"},
        {"issuer": "http://localhost@id.example.org"},
        {"issuer": "https://id.example.org?realm=a"},
        {"issuer": "id.example.org"},
        {"name": "Example"},
        {"name": "../users"},
        {"name": ""},
        {"client_id": ""},
        {"scopes": ["email"]},
        {"redirect_uri": "javascript:alert(1)"},
        {"client_secret": "a secret in the environment"},
    ],
    ids=str,
)
def test_a_provider_that_cannot_be_right_is_refused(loaded, wrong):
    with pytest.raises(InvalidSettings, match="OIDC__PROVIDERS"):
        loaded({**PROVIDER, **wrong})


def test_two_providers_of_one_name_are_refused(loaded):
    with pytest.raises(InvalidSettings, match="same name"):
        loaded(PROVIDER, PROVIDER)
