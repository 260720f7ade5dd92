"""Every event type there is. What is not listed here can be neither written nor read."""

from domain.attempts.events import (
    AbilityUpdated,
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ItemPresented,
    ResponseChanged,
    ResponseGiven,
)
from domain.events import Event, EventRegistry
from domain.exams.events import ExamClosed, ExamDrafted, ExamPublished, ResultsReleased
from domain.items.events import (
    BankCalibrated,
    CalibrationRulesSet,
    DriftFound,
    ItemBankCreated,
    ItemCreated,
    ItemRevised,
    ParametersPromoted,
)
from domain.organizations.events import OrganizationFounded, ServiceClientAdded
from domain.system.events import (
    PoisonEventRetried,
    PoisonEventSetAside,
    PoisonEventSkipped,
    ProjectionPaused,
    ProjectionRebuilt,
    ProjectionResumed,
)
from domain.users.events import ProfileChanged, RoleGranted, UserRegistered

EVENT_CLASSES: tuple[type[Event], ...] = (
    AbilityUpdated,
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    BankCalibrated,
    CalibrationRulesSet,
    DriftFound,
    ExamClosed,
    ExamDrafted,
    ExamPublished,
    ItemBankCreated,
    ItemCreated,
    ItemPresented,
    ItemRevised,
    OrganizationFounded,
    ParametersPromoted,
    PoisonEventRetried,
    PoisonEventSetAside,
    PoisonEventSkipped,
    ProfileChanged,
    ProjectionPaused,
    ProjectionRebuilt,
    ProjectionResumed,
    ResponseChanged,
    ResponseGiven,
    ResultsReleased,
    RoleGranted,
    ServiceClientAdded,
    UserRegistered,
)

EVENTS = EventRegistry(EVENT_CLASSES)
