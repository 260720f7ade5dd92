"""The broken lines that other tests rely on break in the way they say."""

import threading

import psycopg
import pytest

from tests.support.faults.proxy import Proxy


@pytest.fixture
def table(postgres_server):
    conninfo = postgres_server.admin_conninfo()
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute("DROP TABLE IF EXISTS proxy_test")
        admin.execute("CREATE TABLE proxy_test (word text)")
        yield conninfo
        admin.execute("DROP TABLE proxy_test")


def words(conninfo):
    with psycopg.connect(conninfo) as direct:
        return [word for (word,) in direct.execute("SELECT word FROM proxy_test ORDER BY word")]


def test_a_lost_answer_leaves_what_was_asked_for_committed(table):
    with Proxy.to(table) as line:
        with psycopg.connect(line.conninfo(table), autocommit=True) as client:
            client.execute("INSERT INTO proxy_test VALUES (%s)", ["before"])
            lost = line.lose_answer(b"the one that is lost")
            with pytest.raises(psycopg.OperationalError):
                client.execute("INSERT INTO proxy_test VALUES (%s)", ["the one that is lost"])
        assert lost.happened.is_set()
        assert words(table) == ["before", "the one that is lost"]
        with psycopg.connect(line.conninfo(table), autocommit=True) as client:
            client.execute("INSERT INTO proxy_test VALUES (%s)", ["the one that is lost"])
        assert len(words(table)) == 3


def test_a_lost_answer_to_a_commit_leaves_the_transaction_committed(table):
    with Proxy.to(table) as line, psycopg.connect(line.conninfo(table)) as client:
        client.execute("INSERT INTO proxy_test VALUES ('kept')")
        line.lose_answer(b"COMMIT")
        with pytest.raises(psycopg.OperationalError):
            client.commit()
        assert words(table) == ["kept"]


def test_a_lost_request_leaves_nothing(table):
    with Proxy.to(table) as line:
        with psycopg.connect(line.conninfo(table), autocommit=True) as client:
            lost = line.lose_request(b"never")
            with pytest.raises(psycopg.OperationalError):
                client.execute("INSERT INTO proxy_test VALUES (%s)", ["never"])
        assert lost.happened.is_set()
        assert words(table) == []


def test_an_answer_can_break_off_in_the_middle(table):
    with Proxy.to(table) as line, psycopg.connect(line.conninfo(table), autocommit=True) as client:
        line.cut_after(1000)
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT repeat('x', 100000)").fetchone()
        with psycopg.connect(line.conninfo(table)) as other:
            assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_stalled_line_says_nothing_until_it_flows_again(table):
    with Proxy.to(table) as line, psycopg.connect(line.conninfo(table), autocommit=True) as client:
        line.stall()
        answers = []
        asking = threading.Thread(target=lambda: answers.append(client.execute("SELECT 1").fetchone()))
        asking.start()
        asking.join(0.2)
        assert asking.is_alive()
        assert not answers
        line.flow()
        asking.join(10)
        assert answers == [(1,)]


def test_a_refusing_line_cuts_what_is_open_and_lets_nobody_in(table):
    with Proxy.to(table) as line:
        with psycopg.connect(line.conninfo(table), autocommit=True) as client:
            line.refuse()
            with pytest.raises(psycopg.OperationalError):
                client.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(line.conninfo(table), connect_timeout=5)
        line.accept()
        psycopg.connect(line.conninfo(table)).close()
