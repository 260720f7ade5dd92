import multiprocessing
import stat
from pathlib import Path

import pytest

from infra.secrets_files import SecretFileError, read_or_create_file, read_or_create_secret


def test_a_secret_is_made_once_and_read_ever_after(tmp_path: Path) -> None:
    path = tmp_path / "var" / "secrets" / "roles.key"

    first = read_or_create_secret(path)

    assert len(first) == 32
    assert read_or_create_secret(path) == first


def test_two_secrets_differ(tmp_path: Path) -> None:
    assert read_or_create_secret(tmp_path / "a") != read_or_create_secret(tmp_path / "b")


def test_a_secret_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "roles.key"

    read_or_create_secret(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_nothing_is_left_beside_a_secret(tmp_path: Path) -> None:
    read_or_create_secret(tmp_path / "roles.key")

    assert [path.name for path in tmp_path.iterdir()] == ["roles.key"]


def test_a_secret_that_was_there_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "roles.key"
    path.write_bytes(b"given by the operator")

    assert read_or_create_secret(path) == b"given by the operator"


def test_whoever_is_second_gets_the_secret_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "roles.key"

    def another_process_is_quicker() -> bytes:
        path.write_bytes(b"of the other process")
        return b"of this one"

    assert read_or_create_file(path, another_process_is_quicker) == b"of the other process"


def test_an_empty_secret_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "roles.key"
    path.touch()

    with pytest.raises(SecretFileError, match=r"roles\.key holds 0 bytes"):
        read_or_create_secret(path)


def test_a_secret_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "roles.key").mkdir()

    with pytest.raises(SecretFileError, match=r"roles\.key cannot be read"):
        read_or_create_secret(tmp_path / "roles.key")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "secrets").touch()

    with pytest.raises(SecretFileError, match=r"roles\.key cannot be"):
        read_or_create_secret(tmp_path / "secrets" / "roles.key")


def test_eight_processes_that_start_together_get_one_secret(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "roles.key"
    fresh = multiprocessing.get_context("spawn")

    with fresh.Pool(8) as pool:
        secrets = pool.map(read_or_create_secret, [path] * 32, chunksize=1)

    assert len(set(secrets)) == 1
