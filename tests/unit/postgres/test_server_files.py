import pytest

from infra.postgres import serverlog
from infra.postgres.processes import PostmasterFile
from infra.postgres.roles import role_conninfo, role_password
from infra.postgres.serverlog import ServerLog

READY = "4711\n/data\n1790000000\n54321\n\n127.0.0.1\n 26738921     32771\nready   \n"


def test_a_running_server_is_read_from_its_file(tmp_path):
    (tmp_path / "postmaster.pid").write_text(READY)
    assert PostmasterFile.read(tmp_path) == PostmasterFile(4711, 54321, 32771, ready=True)


def test_a_starting_server_is_not_ready(tmp_path):
    (tmp_path / "postmaster.pid").write_text(READY.replace("ready   ", "starting"))
    assert PostmasterFile.read(tmp_path) == PostmasterFile(4711, 54321, 32771, ready=False)


@pytest.mark.parametrize("lines", [1, 3, 5, 7])
def test_a_file_still_being_written_tells_what_it_has(tmp_path, lines):
    (tmp_path / "postmaster.pid").write_text("\n".join(READY.split("\n")[:lines]))
    told = PostmasterFile.read(tmp_path)
    assert (told.pid, told.ready) == (4711, False)
    assert told.port == (54321 if lines > 3 else None)


@pytest.mark.parametrize("text", ["", "not a number\n"])
def test_a_file_without_a_number_tells_nothing(tmp_path, text):
    assert PostmasterFile.read(tmp_path) is None
    (tmp_path / "postmaster.pid").write_text(text)
    assert PostmasterFile.read(tmp_path) is None


def test_a_log_that_has_grown_large_is_put_aside_at_a_start(tmp_path, monkeypatch):
    monkeypatch.setattr(serverlog, "_ROTATE_AT_BYTES", 10)
    log = ServerLog(tmp_path / "log" / "postgres.log")
    assert log.begin() == 0
    assert log.since(0) == ""
    with log.open() as output:
        output.write(b"short")
    assert log.begin() == 5
    with log.open() as output:
        output.write(b" and long enough")
    assert log.since(5) == " and long enough"
    assert log.begin() == 0
    assert log.since(0) == ""
    assert (tmp_path / "log" / "postgres.log.1").read_text() == "short and long enough"


def test_a_role_password_depends_on_secret_and_role_and_on_nothing_else():
    secret, other = b"0123456789abcdef", b"0123456789abcdeg"
    assert role_password(secret, "a") == role_password(secret, "a")
    assert len({role_password(secret, "a"), role_password(secret, "b"), role_password(other, "a")}) == 3


def test_a_role_signs_in_to_the_same_place_given_as_url_or_as_keywords():
    secret = b"0123456789abcdef"
    for base in (
        "postgresql://admin:x@db.example:5433/town?sslmode=require",
        "host=db.example port=5433 dbname=town user=admin password=x sslmode=require",
    ):
        told = dict(word.split("=", 1) for word in role_conninfo(base, "megacity_reader", secret).split())
        assert told == {
            "host": "db.example",
            "port": "5433",
            "dbname": "town",
            "sslmode": "require",
            "user": "megacity_reader",
            "password": role_password(secret, "megacity_reader"),
        }
