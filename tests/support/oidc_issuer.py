"""An OpenID Connect issuer on this machine: a real HTTP server with real keys, that checks what it is sent.

    with running_issuer() as issuer:
        issuer.add_client("client-1", secret="s")
        returned = issuer.sign_in(authorization_url, subject="minji", email="minji@example.org")

`sign_in` is the person at the issuer's page; it answers with what the browser brings back. What the issuer
says can be falsified for one test: `claims` (changes them), `signs` (makes the token), `answers` (a whole
answer for a path).
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

KEY_KINDS = {
    "RS256": lambda: RSAKey.generate_key(2048, auto_kid=True),
    "ES256": lambda: ECKey.generate_key("P-256", auto_kid=True),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519", auto_kid=True),
}
_REGISTRY = JWSRegistry(algorithms=["RS256", "ES256", "EdDSA", "Ed25519", "HS256", "none"])


def signed(claims: dict[str, Any], algorithm: str, key: Any, kid: str | None) -> str:
    """A compact JWS over the claims."""
    header = {"alg": algorithm, "typ": "JWT"}
    if kid is not None:
        header["kid"] = kid
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # some of it is meant to be bad
        return jws.serialize_compact(header, json.dumps(claims).encode(), key, registry=_REGISTRY)


def unsigned(claims: dict[str, Any], kid: str | None = None) -> str:
    header = {"alg": "none", "typ": "JWT", **({} if kid is None else {"kid": kid})}
    return f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}."


def signed_by_secret(claims: dict[str, Any], secret: bytes, kid: str | None = None) -> str:
    """HS256, by hand: no library takes a public key for the secret."""
    header = {"alg": "HS256", "typ": "JWT", **({} if kid is None else {"kid": kid})}
    said = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
    return f"{said}.{_encoded(hmac.digest(secret, said.encode(), 'sha256'))}"


def half_hash(token: str, algorithm: str) -> str:
    """`at_hash`, OpenID Connect Core 1.0, section 3.1.3.6."""
    digest = (hashlib.sha512 if algorithm == "EdDSA" else hashlib.sha256)(token.encode()).digest()
    return _encoded(digest[: len(digest) // 2])


@dataclass
class _Grant:
    """A code that was given out and not exchanged yet."""

    client_id: str
    redirect_uri: str
    challenge: str
    claims: dict[str, Any]


@dataclass
class OidcIssuer:
    port: int = 0
    now_s: Callable[[], float] = time.time
    algorithm: str = "RS256"
    requests: Counter = field(default_factory=Counter)
    claims: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
    signs: Callable[[dict[str, Any]], str] | None = None
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    _keys: list[Any] = field(default_factory=list)
    _clients: dict[str, str | None] = field(default_factory=dict)
    _codes: dict[str, _Grant] = field(default_factory=dict)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> Any:
        """The one that signs now."""
        return self._keys[-1]

    def add_client(self, client_id: str, secret: str | None = None) -> None:
        self._clients[client_id] = secret

    def new_key(self, algorithm: str = "RS256", *, keep: bool = True) -> None:
        """From now on it signs with a new key; with `keep` the old ones stay published."""
        made = KEY_KINDS[algorithm]()
        self._keys = [*self._keys, made] if keep else [made]
        self.algorithm = algorithm

    def truthful(self) -> None:
        """Nothing is falsified any more."""
        self.claims, self.signs = (lambda claims: claims), None
        self.answers.clear()
        self.documents.clear()

    def sign_in(
        self, authorization_url: str, *, subject: str, email: str | None = None, **claims: Any
    ) -> dict[str, str]:
        """Somebody signs in at the page to which the browser was sent, and is sent back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorization_url).query).items()}
        assert authorization_url.startswith(f"{self.url}/authorize?")
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        assert asked["client_id"] in self._clients
        code = secrets.token_urlsafe(16)
        said = {"sub": subject, "nonce": asked["nonce"], **claims}
        if email is not None:
            said = {"email": email, "email_verified": True, **said}
        self._codes[code] = _Grant(asked["client_id"], asked["redirect_uri"], asked["code_challenge"], said)
        return {"code": code, "state": asked["state"]}

    def stop(self) -> None:
        """It is away; its port is nobody's."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def start(self) -> None:
        """At the same port as before, where there was one."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer._answer(self, b"")

            def do_POST(self) -> None:
                issuer._answer(self, self.rfile.read(int(self.headers.get("Content-Length", "0"))))

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    # -- what it answers -----------------------------------------------------------------------------------

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        path = urlsplit(handler.path).path
        self.requests[path] += 1
        if path in self.answers:
            status, headers, content = self.answers[path]
        else:
            status, document = self._document(path, handler, body)
            headers, content = {"Content-Type": "application/json"}, json.dumps(document).encode()
        try:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
        except ConnectionError:
            pass  # who asked has heard enough

    def _document(self, path: str, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "response_types_supported": ["code"],
                **self.documents,
            }
        if path == "/jwks":
            return 200, {"keys": [{**key.as_dict(private=False), "use": "sig"} for key in self._keys]}
        if path == "/token":
            return self._exchanged(handler, {k: v[0] for k, v in parse_qs(body.decode()).items()})
        return 404, {}

    def _exchanged(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> tuple[int, Any]:
        client_id = self._client(handler, form)
        grant = self._codes.pop(form.get("code", ""), None)
        if client_id is None:
            return self._refused("invalid_client")
        if form.get("grant_type") != "authorization_code" or grant is None:
            return self._refused("invalid_grant")
        same_client = (grant.client_id, grant.redirect_uri) == (client_id, form.get("redirect_uri"))
        challenge = _encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if not same_client or grant.challenge != challenge:
            return self._refused("invalid_grant")
        access_token = secrets.token_urlsafe(16)
        now_s = int(self.now_s())
        claims = {
            "iss": self.url,
            "aud": client_id,
            "iat": now_s,
            "exp": now_s + 300,
            "at_hash": half_hash(access_token, self.algorithm),
            **grant.claims,
        }
        claims = self.claims(claims)
        sign = self.signs or (lambda said: signed(said, self.algorithm, self.key, self.key.kid))
        return 200, {"access_token": access_token, "token_type": "Bearer", "id_token": sign(claims)}

    def _refused(self, error: str) -> tuple[int, Any]:
        self.refused.append(error)
        return 400, {"error": error}

    def _client(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> str | None:
        """Who asks, if they have proved it (RFC 6749, section 2.3.1)."""
        sent = handler.headers.get("Authorization", "")
        if sent.startswith("Basic "):
            name, _, secret = base64.b64decode(sent.removeprefix("Basic ")).decode().partition(":")
            return name if self._clients.get(name, "") == unquote_plus(secret) != "" else None
        client_id = form.get("client_id", "")
        known = client_id in self._clients and self._clients[client_id] is None
        return client_id if known else None


@contextmanager
def running_issuer(**settings: Any) -> Iterator[OidcIssuer]:
    issuer = OidcIssuer(**settings)
    issuer.new_key(issuer.algorithm)
    issuer.start()
    try:
        yield issuer
    finally:
        issuer.stop()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
