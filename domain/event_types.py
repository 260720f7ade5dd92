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
from domain.policies.events import (
    PolicyActivated,
    PolicyApproved,
    PolicyProposed,
    PolicySimulated,
    PolicySuperseded,
    PolicyValidated,
    PolicyWithdrawn,
)
from domain.system.events import (
    PoisonEventRetried,
    PoisonEventSetAside,
    PoisonEventSkipped,
    ProjectionPaused,
    ProjectionRebuilt,
    ProjectionResumed,
)
from domain.users.events import (
    EmailVerified,
    PasswordChanged,
    ProfileChanged,
    RoleGranted,
    UserDeactivated,
    UserRegistered,
)
from domain.zones.events import (
    PrerequisiteAttested,
    ZoneActivated,
    ZoneConfigured,
    ZoneDeactivated,
)

EVENT_CLASSES: tuple[type[Event], ...] = (
    AbilityUpdated,
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    BankCalibrated,
    CalibrationRulesSet,
    DriftFound,
    EmailVerified,
    ExamClosed,
    ExamDrafted,
    ExamPublished,
    ItemBankCreated,
    ItemCreated,
    ItemPresented,
    ItemRevised,
    OrganizationFounded,
    ParametersPromoted,
    PasswordChanged,
    PoisonEventRetried,
    PoisonEventSetAside,
    PoisonEventSkipped,
    PrerequisiteAttested,
    PolicyActivated,
    PolicyApproved,
    PolicyProposed,
    PolicySimulated,
    PolicySuperseded,
    PolicyValidated,
    PolicyWithdrawn,
    ProfileChanged,
    ProjectionPaused,
    ProjectionRebuilt,
    ProjectionResumed,
    ResponseChanged,
    ResponseGiven,
    ResultsReleased,
    RoleGranted,
    ServiceClientAdded,
    UserDeactivated,
    UserRegistered,
    ZoneActivated,
    ZoneConfigured,
    ZoneDeactivated,
)

EVENTS = EventRegistry(EVENT_CLASSES)
