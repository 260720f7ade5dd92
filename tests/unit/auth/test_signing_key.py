import json
import multiprocessing
import stat

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from infra.auth.signing_key import SigningKeyError, load_or_create_signing_key, new_signing_key, public_jwk


def test_the_key_is_made_once_and_kept_for_its_owner_alone(tmp_path):
    path = tmp_path / "secrets" / "signing-key.json"
    made = load_or_create_signing_key(path)
    assert load_or_create_signing_key(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert made["kid"]


def test_processes_that_start_together_end_with_one_key(tmp_path):
    path = tmp_path / "signing-key.json"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(load_or_create_signing_key, [path] * 16)
    assert all(key == keys[0] for key in keys)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"not json",
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
        load_or_create_signing_key(path)
    assert path.read_bytes() == content
