"""What an issuer publishes: fetched once, kept a while, never from where we must not go."""

import asyncio
from datetime import timedelta

import pytest

from infra.auth.oidc_documents import KEPT_FOR_S, IssuerDocuments
from infra.auth.oidc_fetch import BoundedFetch, FetchFailed, require_fetchable
from tests.support.api import Clock
from tests.support.http import SetClock
from tests.support.oidc_issuer import running_issuer

HUGE = b'{"keys": [' + b" " * 1_000_000 + b"]}"
JSON = {"Content-Type": "application/json"}
WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.fixture
def issuer():
    with running_issuer(algorithm="EdDSA") as made:
        yield made


@pytest.fixture
def clock():
    return Clock()


def with_documents(issuer, clock, use):
    """What `use(documents, fetch)` comes to, in a loop of its own."""

    async def run():
        fetch = BoundedFetch(issuer.url)
        try:
            return await use(IssuerDocuments(issuer.url, fetch, clock), fetch)
        finally:
            await fetch.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/jwks", (200, JSON, HUGE)),
        ("/jwks", (200, JSON, b"[" * 100_000)),
        ("/jwks", (200, JSON, b'{"keys": 5}')),
        ("/jwks", (200, JSON, b'{"keys": [' + b",".join([b'{"kty":"RSA"}'] * 51) + b"]}")),
        ("/jwks", (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08")),
        ("/jwks", (302, {"Location": "http://127.0.0.1:1/jwks"}, b"")),
        ("/jwks", (204, {}, b"")),
        (WELL_KNOWN, (200, JSON, HUGE)),
        (WELL_KNOWN, (200, {"Content-Type": "text/html"}, b"<html>")),
        (WELL_KNOWN, (301, {"Location": "http://127.0.0.1:1/"}, b"")),
        (WELL_KNOWN, (404, JSON, b"{}")),
        (WELL_KNOWN, (500, JSON, b"{}")),
    ],
)
def test_an_answer_that_cannot_be_used_is_none(issuer, clock, path, answer):
    issuer.answers[path] = answer
    with pytest.raises(FetchFailed):
        with_documents(issuer, clock, lambda documents, _: documents.keys())
    assert issuer.requests[path] == 1


@pytest.mark.parametrize(
    "answer",
    [
        (302, {"Location": "http://127.0.0.1:1/token"}, b"{}"),
        (500, JSON, b"{}"),
        (200, JSON, HUGE),
        (200, JSON, b"not JSON"),
    ],
)
def test_neither_is_one_to_a_form(issuer, clock, answer):
    issuer.answers["/token"] = answer
    with pytest.raises(FetchFailed):
        with_documents(issuer, clock, lambda _, fetch: fetch.post(f"{issuer.url}/token", "a=b", {}))


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://accounts.example.com"},
        {"jwks_uri": "http://169.254.169.254/latest/meta-data"},
        {"token_endpoint": "http://10.0.0.1/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": 5},
    ],
)
def test_a_document_that_points_elsewhere_is_not_followed(issuer, clock, document):
    issuer.documents = document
    with pytest.raises(FetchFailed):
        with_documents(issuer, clock, lambda documents, _: documents.keys())
    assert set(issuer.requests) == {WELL_KNOWN}


def test_an_issuer_that_drips_is_given_up():
    pieces = 0

    async def drip(_, writer):
        nonlocal pieces
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        # Each piece comes before the client would give up waiting for one.
        while not writer.is_closing() and pieces < 400:
            writer.write(b" ")
            pieces += 1
            await asyncio.sleep(0.05)
        writer.close()

    async def ask():
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        fetch = BoundedFetch(url, timeout_s=0.5)
        with pytest.raises(FetchFailed, match="TimeoutError"):
            await fetch.get(url)
        await fetch.close()
        server.close()

    asyncio.run(ask())
    assert 2 <= pieces < 100


def test_a_document_is_fetched_anew_when_it_is_old(issuer, clock):
    async def use(documents, _):
        await documents.keys()
        clock.advance(3_500)
        await documents.keys()
        assert issuer.requests["/jwks"] == 1
        clock.advance(200)
        await documents.keys()
        assert issuer.requests["/jwks"] == 2

    with_documents(issuer, clock, use)


def test_what_an_issuer_said_last_counts_for_a_day_while_it_is_away(issuer, clock):
    async def use(documents, _):
        keys = await documents.keys()
        issuer.stop()
        clock.advance(KEPT_FOR_S - 60)
        assert await documents.keys() == keys
        clock.advance(120)
        with pytest.raises(FetchFailed):
            await documents.keys()

    with_documents(issuer, clock, use)


def test_after_a_failure_the_issuer_is_left_alone_for_a_moment(issuer):
    frozen = SetClock()

    async def use(documents, _):
        issuer.answers[WELL_KNOWN] = (500, JSON, b"{}")
        for _ in range(3):
            with pytest.raises(FetchFailed):
                await documents.discovered()
        assert issuer.requests[WELL_KNOWN] == 1
        issuer.truthful()
        frozen.now += timedelta(seconds=3)
        assert (await documents.discovered()).issuer == issuer.url

    with_documents(issuer, frozen, use)


PUBLIC = "https://id.example.org"


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.org/token",
        "https://keys.example.net:8443/jwks?v=3",
        "https://8.8.8.8/jwks",
    ],
)
def test_a_public_issuer_may_name_public_addresses(url):
    require_fetchable(url, issuer=PUBLIC)


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.org/token",
        "https://localhost/token",
        "https://a.localhost/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.1.2.3/",
        "https://192.168.0.1/",
        "https://169.254.169.254/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://user:secret@id.example.org/",
        "https://id.example.org/#part",
        "https://id.example.org:99999/",
        "https:///token",
        "ftp://id.example.org/",
        "https://[broken/",
        "",
    ],
)
def test_a_public_issuer_may_name_nothing_else(url):
    with pytest.raises(FetchFailed):
        require_fetchable(url, issuer=PUBLIC)


def test_an_issuer_on_this_machine_may_name_this_machine_alone():
    here = "http://127.0.0.1:8080"
    require_fetchable("http://localhost:9000/jwks", issuer=here)
    for elsewhere in ("https://id.example.org/", "http://10.0.0.1/", "file://localhost/etc/passwd"):
        with pytest.raises(FetchFailed):
            require_fetchable(elsewhere, issuer=here)
