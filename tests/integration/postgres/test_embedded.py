"""The supervisor over a real server: first start, restart, access, and what it refuses."""

import socket

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from infra.postgres import cluster, embedded
from infra.postgres.errors import (
    DataFolderUnusable,
    OtherMajorVersion,
    PasswordLost,
    PortTaken,
    ServerNotStarted,
)


def value(server, query):
    with psycopg.connect(server.superuser_conninfo()) as connection:
        return connection.execute(query).fetchone()[0]


def test_a_first_start_makes_a_durable_checked_utf8_database(scratch, server_in):
    told = []
    server = server_in(scratch, first_start=True)
    info = server.start(told.append)
    assert (info.reused, info.recovered) == (False, False)
    assert told[0].startswith("Creating")
    shown = {
        name: value(server, f"SHOW {name}")
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "server_encoding")
    }
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
    }
    assert value(server, "SELECT lower('ÄÉ') || upper('ж')") == "äéЖ"


def test_it_listens_on_the_loopback_address_and_on_nothing_else(scratch, server_in):
    server = server_in(scratch)
    server.start()
    assert value(server, "SHOW listen_addresses") == "127.0.0.1"
    assert value(server, "SHOW unix_socket_directories") == ""


def test_every_way_in_wants_a_password(scratch, server_in):
    server = server_in(scratch, first_start=True)
    info = server.start()
    with psycopg.connect(server.superuser_conninfo()) as connection:
        rules = connection.execute(
            "SELECT DISTINCT type, address, auth_method FROM pg_hba_file_rules"
        ).fetchall()
    assert rules == [("host", "127.0.0.1", "scram-sha-256")]
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(
                make_conninfo(server.superuser_conninfo(), password=password, passfile="/dev/null")
            )
    assert (scratch / "secrets").stat().st_mode & 0o777 == 0o700
    password_file = cluster.password_path(scratch / "secrets")
    assert password_file.stat().st_mode & 0o777 == 0o600
    assert password_file.read_text().strip() == info.password
    assert info.password not in repr(info)


def test_access_rules_that_were_loosened_are_tightened_at_the_next_start(scratch, server_in):
    server = server_in(scratch)
    server.start()
    server.stop()
    with (scratch / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 0.0.0.0/0 trust\n")
    server.start()
    assert value(server, "SELECT count(*) FROM pg_hba_file_rules") == 1


def test_a_restart_keeps_the_data(scratch, server_in):
    first = server_in(scratch)
    first.start()
    with psycopg.connect(first.superuser_conninfo()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    first.stop()
    assert not first.status().running
    assert not (scratch / "data" / "postmaster.pid").exists()

    second = server_in(scratch)
    info = second.start()
    assert (info.reused, info.recovered) == (False, False)
    assert second.status() == embedded.ServerStatus(scratch / "data", True, True, info.pid, info.port)
    assert value(second, "SELECT answer FROM kept") == 42


def test_stopping_twice_and_stopping_what_never_ran_do_nothing(scratch, server_in):
    server = server_in(scratch, first_start=True)
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert not server.status().running


def test_a_stop_does_not_wait_for_clients(scratch, server_in):
    server = server_in(scratch)
    server.start()
    with psycopg.connect(server.superuser_conninfo()) as idle:
        idle.execute("SELECT 1")
        server.stop()
        assert not server.status().running
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")


def test_settings_of_the_caller_reach_the_server(scratch, server_in):
    server = server_in(scratch, settings={"max_connections": "17"})
    server.start()
    assert value(server, "SHOW max_connections") == "17"


@pytest.mark.parametrize("name", ["fsync", "listen_addresses", "port"])
def test_what_safety_rests_on_is_not_for_the_caller_to_set(scratch, server_in, name):
    with pytest.raises(ValueError, match=name):
        server_in(scratch, settings={name: "off"})


def test_a_given_port_is_used_and_a_taken_one_is_refused(scratch, server_in):
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        server = server_in(scratch, first_start=True, port=port)
        with pytest.raises(PortTaken, match=f"Port {port} .* in use"):
            server.start()
    assert server.start().port == port


def test_without_a_given_port_a_taken_one_is_chosen_anew(scratch, server_in, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        taken = somebody.getsockname()[1]
        free = embedded._free_port
        offers = iter([taken])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(offers, None) or free())
        server = server_in(scratch)
        assert server.start().port != taken
        assert value(server, "SELECT 1") == 1


def test_a_failed_start_shows_the_end_of_the_log(scratch, server_in):
    with pytest.raises(ServerNotStarted, match=r'"shared_buffers".*nonsense') as caught:
        server_in(scratch, settings={"shared_buffers": "nonsense"}).start()
    assert str(scratch / "postgres.log") in str(caught.value)


def test_data_of_another_major_version_is_refused_with_what_to_do(scratch, server_in):
    server = server_in(scratch)
    server.start()
    server.stop()
    (scratch / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(OtherMajorVersion, match=r"PostgreSQL 12.*pg_dumpall.*move the folder away"):
        server.start()


def test_a_folder_with_something_else_in_it_is_left_alone(scratch, server_in):
    (scratch / "data").mkdir()
    (scratch / "data" / "letter.txt").write_text("mine")
    with pytest.raises(DataFolderUnusable, match="no PostgreSQL data"):
        server_in(scratch).start()
    assert (scratch / "data" / "letter.txt").read_text() == "mine"


def test_an_empty_folder_is_filled(scratch, server_in):
    (scratch / "data").mkdir()
    assert not server_in(scratch).start().reused


def test_a_lost_password_and_a_wrong_one_are_named(scratch, server_in):
    server = server_in(scratch)
    server.start()
    server.stop()
    password_file = cluster.password_path(scratch / "secrets")
    right = password_file.read_text()
    password_file.unlink()
    with pytest.raises(PasswordLost, match="is missing"):
        server.start()
    password_file.write_text("wrong\n")
    with pytest.raises(PasswordLost, match="does not open it"):
        server.start()
    assert not server.status().running
    password_file.write_text(right)
    server.start()
