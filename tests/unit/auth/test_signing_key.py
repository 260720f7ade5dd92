import json
import multiprocessing
import stat
from datetime import timedelta

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from infra.auth import key_ring
from infra.auth.key_ring import (
    BELIEVED_FOR_S,
    KeyRing,
    believed,
    load_or_create_ring,
    rotate,
    signing,
)
from infra.auth.revocations import POLL_INTERVAL_S
from infra.auth.signing_key import SigningKeyError, new_signing_key, public_jwk
from infra.auth.tokens import LONGEST_LIFETIME_S, TokenIssuer, TokenVerifier
from infra.http.errors import InvalidToken
from tests.support.http import NOW, STUDENT, SetClock, id_source

NOW_S = int(NOW.timestamp())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secrets" / "signing-key.json"


def key_ids(ring):
    return [each.key_id for each in ring]


def parts_of_a_process(path, clock):
    """A process's issuer and verifier, which look at the file each time."""
    ring = KeyRing(path, clock)
    issuer = TokenIssuer(ring, "megacity", "megacity-api", 900, clock, new_id=id_source())
    return issuer, TokenVerifier(ring, "megacity", "megacity-api", clock)


@pytest.fixture
def looks_each_time(monkeypatch):
    monkeypatch.setattr(key_ring, "LOOK_INTERVAL_S", 0.0)


def test_the_first_key_is_made_once_and_kept_for_its_owner_alone(path):
    made = load_or_create_ring(path)
    assert load_or_create_ring(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert signing(made, NOW_S).key_id == made[0].key_id


def test_processes_that_start_together_end_with_one_key(path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        rings = pool.map(load_or_create_ring, [path] * 16)
    assert all(ring == rings[0] for ring in rings)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b"\xff",
        b"not json",
        b'{"keys": []}',
        b'{"keys": 7}',
        b'{"keys": [7]}',
        json.dumps({"keys": [{**new_signing_key(), "active_from": "soon"}]}).encode(),
        json.dumps({"keys": [public_jwk(new_signing_key())]}).encode(),
        json.dumps(public_jwk(new_signing_key())).encode(),
        json.dumps({name: value for name, value in new_signing_key().items() if name != "kid"}).encode(),
        json.dumps(ECKey.generate_key("P-256", auto_kid=True).as_dict(private=True)).encode(),
        json.dumps(OKPKey.generate_key("Ed448", auto_kid=True).as_dict(private=True)).encode(),
        json.dumps(OctKey.generate_key(256, auto_kid=True).as_dict(private=True)).encode(),
    ],
)
def test_a_file_with_something_else_in_it_is_an_error_and_stays(tmp_path, content):
    path = tmp_path / "signing-key.json"
    path.write_bytes(content)
    with pytest.raises(SigningKeyError, match=r"signing-key\.json"):
        load_or_create_ring(path)
    with pytest.raises(SigningKeyError):
        rotate(path, NOW_S)
    assert path.read_bytes() == content


def test_a_new_key_signs_and_the_one_before_can_no_more(path):
    [first] = load_or_create_ring(path)
    ring = rotate(path, NOW_S)
    assert load_or_create_ring(path) == ring
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ring[0].jwk == public_jwk(first.jwk)
    assert signing(ring, NOW_S).key_id == ring[1].key_id != first.key_id


def test_a_key_is_believed_until_its_last_token_has_expired(path):
    [first] = load_or_create_ring(path)
    ring = rotate(path, NOW_S)
    assert BELIEVED_FOR_S > LONGEST_LIFETIME_S
    assert key_ids(believed(ring, NOW_S + BELIEVED_FOR_S - 1)) == key_ids(ring)
    assert first.key_id not in key_ids(believed(ring, NOW_S + BELIEVED_FOR_S))
    later = rotate(path, NOW_S + BELIEVED_FOR_S)
    assert key_ids(later)[0] == ring[1].key_id
    assert len(later) == 2


def test_a_key_may_wait_for_its_turn_while_it_is_believed_already(path):
    [first] = load_or_create_ring(path)
    ring = rotate(path, NOW_S, active_in_s=60)
    assert signing(ring, NOW_S + 59).jwk == first.jwk
    assert signing(ring, NOW_S + 60).key_id == ring[1].key_id
    assert key_ids(believed(ring, NOW_S)) == key_ids(ring)
    impatient = rotate(path, NOW_S + 1)
    assert key_ids(impatient)[0] == first.key_id
    assert ring[1].key_id not in key_ids(impatient)
    assert signing(impatient, NOW_S + 90).key_id == impatient[1].key_id


@pytest.mark.usefixtures("looks_each_time")
def test_a_stolen_key_is_dropped_at_once_with_the_tokens_that_were_verified_before(path):
    clock = SetClock()
    issuer, verifier = parts_of_a_process(path, clock)
    token, _ = issuer.issue(STUDENT)
    assert verifier.verify(token) == STUDENT
    assert len(rotate(path, NOW_S, drop_others=True)) == 1
    with pytest.raises(InvalidToken, match="key is not known"):
        verifier.verify(token)
    assert verifier.verify(issuer.issue(STUDENT)[0]) == STUDENT


@pytest.mark.usefixtures("looks_each_time")
def test_running_processes_take_over_a_new_key_and_believe_the_one_before(path):
    clock = SetClock()
    issuer, verifier = parts_of_a_process(path, clock)
    before, _ = issuer.issue(STUDENT, ttl_s=LONGEST_LIFETIME_S)
    [_, new] = rotate(path, NOW_S)
    after, _ = issuer.issue(STUDENT)
    assert after.split(".")[0] != before.split(".")[0]
    assert verifier.verify(after) == verifier.verify(before) == STUDENT
    clock.now = NOW + timedelta(seconds=BELIEVED_FOR_S - 1)
    with pytest.raises(InvalidToken, match="expired"):
        verifier.verify(before)
    clock.now = NOW + timedelta(seconds=BELIEVED_FOR_S)
    other = TokenVerifier(KeyRing(path, clock), "megacity", "megacity-api", clock)
    for each in (verifier, other):
        with pytest.raises(InvalidToken, match="key is not known"):
            each.verify(before)
    assert [jwk["kid"] for jwk in KeyRing(path, clock).verifying_keys()] == [new.key_id]


def test_a_token_of_a_key_that_another_process_has_just_made_is_believed_at_once(path):
    clock = SetClock()
    _, verifier = parts_of_a_process(path, clock)
    rotate(path, NOW_S)
    issuer_elsewhere, _ = parts_of_a_process(path, clock)
    assert verifier.verify(issuer_elsewhere.issue(STUDENT)[0]) == STUDENT


@pytest.mark.usefixtures("looks_each_time")
def test_a_file_that_was_spoilt_leaves_the_keys_as_they_were(path):
    clock = SetClock()
    issuer, verifier = parts_of_a_process(path, clock)
    path.write_text("spoilt")
    assert verifier.verify(issuer.issue(STUDENT)[0]) == STUDENT
    path.unlink()
    assert verifier.verify(issuer.issue(STUDENT)[0]) == STUDENT


@pytest.mark.usefixtures("looks_each_time")
def test_the_public_keys_are_the_same_object_until_they_change(path):
    ring = KeyRing(path, SetClock())
    first = ring.verifying_keys()
    assert ring.verifying_keys() is first
    rotate(path, NOW_S)
    assert len(ring.verifying_keys()) == 2
    assert not any("d" in jwk for jwk in ring.verifying_keys())


def test_no_token_outlives_the_memory_of_its_key(path):
    issuer, _ = parts_of_a_process(path, SetClock())
    with pytest.raises(ValueError, match="86400"):
        issuer.issue(STUDENT, ttl_s=LONGEST_LIFETIME_S + 1)


def test_running_processes_look_often_enough_for_what_they_promise():
    # An ended session and a changed key bite within a second in every process.
    assert POLL_INTERVAL_S <= 0.25
    assert key_ring.LOOK_INTERVAL_S <= 1.0
