"""The keys that sign access tokens: public for everybody, changed while processes run."""

import time

import httpx
import pytest
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from infra.auth.key_ring import rotate
from tests.support.accounts import opens, registered, tokens
from tests.support.api import eventually, running_api
from tests.support.postgres import fresh_database, run_folder


@pytest.fixture
def two_processes(postgres_server):
    """Of one installation, whose keys no other test uses."""
    with (
        run_folder("keys") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder) as one,
        running_api(conninfo, folder, role="api") as other,
    ):
        yield one, other


def public_keys(api):
    answer = httpx.get(f"{api.base_url}/.well-known/jwks.json", trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    return answer.json()


def key_ids(api):
    return [key["kid"] for key in public_keys(api)["keys"]]


def test_anybody_checks_a_token_with_the_public_keys_alone(api):
    account = registered(api)
    access_token = tokens(api, account)["access_token"]
    keys = public_keys(api)
    found = jwt.decode(access_token, KeySet.import_key_set(keys), algorithms=["EdDSA"])
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": api.settings.auth.issuer},
        aud={"essential": True, "value": api.settings.auth.audience},
        sub={"essential": True, "value": account.user_id},
        exp={"essential": True},
    ).validate(found.claims)
    assert found.claims["exp"] - found.claims["iat"] == 15 * 60
    assert not any(set(key) & {"d", "k", "p", "q"} for key in keys["keys"])


def test_a_new_key_is_taken_over_by_every_process_and_the_one_before_stays_good(two_processes):
    one, _ = two_processes
    account = registered(one)
    before = tokens(one, account)["access_token"]
    path = one.settings.auth.signing_key_file
    [old] = key_ids(one)
    new = rotate(path, int(time.time()))[-1].key_id
    # No process is told: each looks.
    after = eventually(lambda: _signed_with(new, tokens(one, account)["access_token"]), within_s=10.0)
    for each in two_processes:
        assert opens(each, after)
        assert opens(each, before)
        eventually(lambda each=each: key_ids(each) == [old, new], within_s=10.0)


def test_a_stolen_key_opens_nothing_any_longer(two_processes):
    one, other = two_processes
    account = registered(one)
    before = tokens(one, account)["access_token"]
    assert opens(other, before)
    rotate(one.settings.auth.signing_key_file, int(time.time()), drop_others=True)
    for each in two_processes:
        eventually(lambda each=each: not opens(each, before), within_s=10.0)
    assert opens(other, tokens(one, account)["access_token"])


def _signed_with(key_id, token):
    header = jws.extract_compact(token.encode()).headers()
    return token if header["kid"] == key_id else None
