"""What consumers wait out, and what they give an event up for."""

import psycopg
import pytest

from commands.ports import VersionConflict
from domain.errors import Unavailable
from domain.events import FutureSchemaVersion
from domain.exams.exam import ExamNotPublished
from infra.kafka.command_consumer import CommandUnanswered
from infra.kafka.delivery import is_outage
from infra.kafka.port import KafkaError, KafkaUnreachable, MessagesLost, MessageTooLarge, NotDelivered
from infra.kafka.projection_consumer import ProjectionNotReady
from infra.projections.poison import is_poison


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("the connection is lost"),
        psycopg.InterfaceError("the connection is closed"),
        psycopg.errors.DiskFull(),
        psycopg.errors.SerializationFailure(),
        psycopg.errors.ReadOnlySqlTransaction(),
        psycopg.errors.UndefinedTable(),
        psycopg.errors.UndefinedColumn(),
        psycopg.errors.InsufficientPrivilege(),
        KafkaUnreachable("away"),
        NotDelivered("not acknowledged"),
        MessagesLost("offsets went back"),
        KafkaError("a topic cannot be made"),
        Unavailable(retry_after_s=1),
        CommandUnanswered(retry_after_s=1),
        ProjectionNotReady(projection="p", version=1, status="paused", retry_after_s=1),
        VersionConflict(),
        OSError("no route"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_time_alone_may_heal_is_waited_out(error):
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.DivisionByZero(),
        psycopg.errors.UniqueViolation(),
        psycopg.errors.RaiseException(),
        psycopg.DataError("NUL in a text"),
        MessageTooLarge("9 MiB"),
        FutureSchemaVersion(type="t", version=9, known=1),
        ExamNotPublished(),
        TypeError("of the handler"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_fail_again_is_given_up(error):
    assert not is_outage(error)


def test_projections_and_consumers_judge_the_errors_of_the_database_alike():
    kinds = [getattr(psycopg.errors, name) for name in dir(psycopg.errors)]
    errors = [kind() for kind in kinds if isinstance(kind, type) and issubclass(kind, psycopg.Error)]
    assert len(errors) > 200
    assert [error for error in errors if is_outage(error) == is_poison(error)] == []
