"""What the library is told about the database is all that the conninfo says."""

import pytest
from eventsourcing.persistence import InfrastructureFactory, InfrastructureFactoryError

from infra.event_store.library import library_environment
from infra.event_store.persistence import CONNINFO, LogFactory


def test_the_library_finds_our_recorders_by_its_own_setting():
    environment = library_environment("host=/nowhere dbname=x options='-c statement_timeout=5s'", pool_size=2)
    assert environment["PERSISTENCE_MODULE"] == "infra.event_store.persistence"
    factory = InfrastructureFactory.construct(environment)
    try:
        assert isinstance(factory, LogFactory)
        assert (
            factory.application_recorder().store.conninfo
            == "host=/nowhere dbname=x options='-c statement_timeout=5s'"
        )
    finally:
        factory.close()


def test_a_missing_conninfo_is_named():
    with pytest.raises(InfrastructureFactoryError, match=CONNINFO):
        InfrastructureFactory.construct({"PERSISTENCE_MODULE": "infra.event_store.persistence"})
