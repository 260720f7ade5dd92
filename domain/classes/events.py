"""What happens to a class: opened in an organisation, taught by teachers, joined by students, closed."""

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId
from domain.zones import ZoneId


@event_type("class.opened", retention=Retention.STATE)
class ClassOpened(Event, frozen=True, kw_only=True):
    """`external_id` is the organisation's own name for the class, unique among its classes."""

    org_id: StreamId
    zone_id: ZoneId
    name: str
    external_id: str | None = None


@event_type("class.renamed", retention=Retention.STATE)
class ClassRenamed(Event, frozen=True, kw_only=True):
    name: str


@event_type("class.teacher_assigned", retention=Retention.STATE)
class TeacherAssigned(Event, frozen=True, kw_only=True):
    """From now on this teacher (or tutor) sees the class and its students."""

    user_id: StreamId


@event_type("class.teacher_withdrawn", retention=Retention.STATE)
class TeacherWithdrawn(Event, frozen=True, kw_only=True):
    user_id: StreamId


@event_type("class.student_enrolled", retention=Retention.STATE)
class StudentEnrolled(Event, frozen=True, kw_only=True):
    user_id: StreamId


@event_type("class.student_withdrawn", retention=Retention.STATE)
class StudentWithdrawn(Event, frozen=True, kw_only=True):
    user_id: StreamId


@event_type("class.closed", retention=Retention.STATE)
class ClassClosed(Event, frozen=True, kw_only=True):
    """It is over: its teachers see its students no longer. Closed classes stay closed."""

    reason: str
