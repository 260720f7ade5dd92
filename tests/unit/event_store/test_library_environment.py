"""What the library is told about the database is all that the conninfo says."""

import pytest

from infra.event_store.library import connection_parameters, library_environment


def test_every_parameter_of_the_conninfo_reaches_the_connections():
    url = (
        "postgresql://writer:s%40cret@one.example,two.example:6543/megacity"
        "?sslmode=verify-full&sslrootcert=/etc/ca.pem&target_session_attrs=read-write"
        "&options=-c%20statement_timeout%3D5s"
    )
    parameters = connection_parameters(url)
    parameters.pop("row_factory")
    assert parameters == {
        "user": "writer",
        "password": "s@cret",
        "host": "one.example,two.example",
        "port": ",6543",
        "dbname": "megacity",
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ca.pem",
        "target_session_attrs": "read-write",
        "options": "-c statement_timeout=5s",
    }


@pytest.mark.parametrize("conninfo", ["postgresql:///megacity", "dbname=megacity host=/run/postgresql"])
def test_a_local_socket_will_do(conninfo):
    assert library_environment(conninfo, pool_size=1)["CREATE_TABLE"] == "no"
    assert connection_parameters(conninfo)["dbname"] == "megacity"
