"""The outer walls, each with nothing behind it: no database, no handlers' checks, none of the other walls.

Whatever gets past the wall of a test falls over at once, for none of the services that handlers work with is
there: an answer that is a refusal was given by the wall.
"""

import hmac
import itertools
import re
from base64 import urlsafe_b64encode
from datetime import timedelta

import msgspec
import pytest
from joserfc.jwk import OKPKey
from prometheus_client import CollectorRegistry

from infra.application import build_app, whole_document
from infra.auth.signing_key import new_signing_key
from infra.auth.tokens import TokenIssuer
from infra.http.middleware import QUIET_PATHS
from infra.http.principal import RoleGrant
from infra.http.rate_limits import RateLimits
from infra.observability.metrics import new_registry
from infra.rate_limits.addresses import Origin, networks
from infra.rate_limits.in_process import InProcessRateLimiter
from infra.rate_limits.limiter import Limit
from infra.rate_limits.metrics import RateLimitMetrics
from infra.settings import Settings
from tests.support.http import NOW, STUDENT, FakeServices, call

OPERATIONS = [
    pytest.param(method.upper(), path, operation, id=operation["operationId"])
    for path, operations in whole_document()["paths"].items()
    for method, operation in operations.items()
    if path not in QUIET_PATHS
]
GUARDED = [each for each in OPERATIONS if each.values[2]["x-access"] in {"signed-in", "attempt"}]
"""Webhooks are signed: that wall has tests of its own."""
FOR_ROLES = [each for each in OPERATIONS if "x-roles" in each.values[2]]
ID = "01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def services():
    return FakeServices()


@pytest.fixture(scope="module")
def app(services, tmp_path_factory):
    made = build_app(Settings(var_dir=tmp_path_factory.mktemp("var")), new_registry(), None, "all")
    made.state.services = services
    return made


def filled(path):
    return re.sub(r"\{(\w+?)(_id)?\}", lambda name: f"{name[1]}-{ID}", path)


def asked(app, method, path, token=None, **headers):
    headers |= {} if token is None else {"Authorization": f"Bearer {token}"}
    body = {} if method == "GET" else {"json": {}}
    return call(app, method, filled(path), headers=headers, **body)


def slug(answer):
    return answer.status_code, answer.json()["type"].removeprefix("urn:megacity:problem:")


def claims(**changes):
    now_s = int(NOW.timestamp())
    whole = {"iss": "megacity", "aud": "megacity", "sub": STUDENT.subject_id, "iat": now_s}
    whole |= {"exp": now_s + 900, "jti": "1", "sid": "session-1", "zone": "univprep"}
    return {**whole, "roles": [{"role": "sys_admin"}], **changes}


def of_another_issuer(_services):
    issuer = TokenIssuer(new_signing_key(), "megacity", "megacity", 900, lambda: NOW, new_id=lambda: "1")
    return issuer.issue(STUDENT)[0]


def expired(services):
    earlier = NOW - timedelta(hours=1)
    issuer = services.token_issuer
    return TokenIssuer(issuer._jwk, "megacity", "megacity", 900, lambda: earlier, new_id=lambda: "1").issue(
        STUDENT
    )[0]


def signed_with_nothing(services):
    header = msgspec.json.encode({"alg": "none", "kid": services.token_issuer._jwk["kid"]})
    return ".".join([_base64(header), _base64(msgspec.json.encode(claims())), ""])


def signed_with_the_public_key(services):
    # By hand: the library refuses to make such a token.
    jwk = services.token_issuer._jwk
    public = OKPKey.import_key(jwk).as_pem(private=False)
    header = msgspec.json.encode({"alg": "HS256", "kid": jwk["kid"]})
    signed = f"{_base64(header)}.{_base64(msgspec.json.encode(claims()))}"
    return f"{signed}.{_base64(hmac.digest(public, signed.encode(), 'sha256'))}"


def _base64(raw):
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


FORGERIES = (of_another_issuer, expired, signed_with_nothing, signed_with_the_public_key)


@pytest.mark.parametrize(("method", "path", "operation"), GUARDED)
def test_authentication_alone_refuses_who_is_nobody_and_who_lies(app, services, method, path, operation):
    assert slug(asked(app, method, path)) == (401, "unauthenticated"), operation["operationId"]
    for forged in FORGERIES:
        answer = asked(app, method, path, forged(services))
        assert slug(answer) == (401, "invalid-token"), forged.__name__
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(("method", "path", "operation"), FOR_ROLES)
def test_the_guard_of_roles_alone_refuses_who_has_another_role(app, services, method, path, operation):
    everything_else = sorted(
        {"student", "parent", "teacher", "tutor", "org_admin", "zone_admin", "sys_admin", "service"}
        - set(operation["x-roles"])
    )
    roles = tuple(RoleGrant(role) for role in everything_else)
    token = services.token_issuer.issue(msgspec.structs.replace(STUDENT, roles=roles))[0]
    answer = asked(app, method, path, token)
    assert slug(answer) == (403, "role-required")
    assert answer.json()["roles"] == operation["x-roles"]


@pytest.mark.parametrize(("method", "path", "operation"), GUARDED)
def test_a_token_of_one_attempt_opens_nothing_but_that_attempt(app, services, method, path, operation):
    other = msgspec.structs.replace(STUDENT, attempt_id="attempt-01901646-a2b4-7c3d-8e5f-00000000dead")
    token = services.token_issuer.issue(other)[0]
    assert slug(asked(app, method, path, token)) == (403, "attempt-token-only"), operation["operationId"]


@pytest.fixture
def limited(app):
    """The same with a wall that lets three requests of somebody through in an hour, and no handler at all."""

    async def nothing(scope, receive, send):
        del scope, receive
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    stack = app.middleware_stack or app.build_middleware_stack()
    around = stack
    while type(around).__name__ != "RateLimiting":
        around = getattr(around, "app", None) or around._app
    behind, around._app = around._app, nothing
    app.middleware_stack = stack
    app.state.rate_limits = RateLimits(
        limiter=InProcessRateLimiter(),
        metrics=RateLimitMetrics.create(CollectorRegistry()),
        origin=Origin(networks(["127.0.0.1/32"])),
        **{name: Limit(name, HOUR_US, 3) for name in ("user", "service", "address", "network", "account")},
    )
    yield app
    around._app = behind
    del app.state.rate_limits


def test_the_rate_limit_alone_holds_for_every_operation(limited, services):
    numbers, addresses = itertools.count(), itertools.count(1)
    for each in OPERATIONS:
        method, path, operation = each.values
        person = msgspec.structs.replace(STUDENT, subject_id=f"user-{next(numbers)}")
        token = services.token_issuer.issue(person)[0]
        # Where people sign in the address counts too: here nobody shares one.
        whence = {"X-Forwarded-For": f"198.51.100.{next(addresses)}"}
        answers = [asked(limited, method, path, token, **whence) for _ in range(4)]
        statuses = [answer.status_code for answer in answers]
        assert statuses == [204, 204, 204, 429], operation["operationId"]
        assert slug(answers[-1]) == (429, "rate-limited")


def test_the_rate_limit_alone_counts_who_is_nobody_over_all_operations_together(limited):
    statuses = [asked(limited, *each.values[:2]).status_code for each in OPERATIONS]
    assert statuses == [204] * 3 + [429] * (len(OPERATIONS) - 3)
