"""What the handlers need of the outside world. `infra` provides it; tests may too."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import msgspec

from domain.errors import IllegalState, Unavailable
from domain.events import Event, EventMetadata, RecordedEvent
from domain.identifiers import StreamId

Clock: TypeAlias = Callable[[], datetime]
"""The time now, aware, in UTC."""

NewId: TypeAlias = Callable[[], str]
"""A new uuid7 as text."""

KeyedHash: TypeAlias = Callable[[str], str]
"""A keyed hash of an e-mail address in its normal form, hexadecimal."""


class VersionConflict(IllegalState):
    """Somebody else appended to the stream first; the handlers load it again and decide anew."""

    code = "version-conflict"
    title = "Somebody else changed this at the same moment"


class NewEvent(msgspec.Struct, frozen=True):
    metadata: EventMetadata
    event: Event


class StreamAppend(msgspec.Struct, frozen=True):
    """Events for the end of one stream, right only if its version is still `expected_version`."""

    stream_id: StreamId
    expected_version: int
    events: tuple[NewEvent, ...]


class EventLog(Protocol):
    """The streams of events. Which store keeps them is nobody's business but `infra`'s."""

    async def load(
        self, stream_id: StreamId, after_version: int = 0, limit: int | None = None
    ) -> Sequence[RecordedEvent]:
        """The events of one stream in order, or so many of them; none where there is no such stream."""
        ...

    async def append(self, appends: Sequence[StreamAppend]) -> None:
        """Makes all the appends durable together, or none of them.

        An append without events asks for nothing, whatever version it expects.

        Raises `VersionConflict` where a stream has moved on, and `Unavailable` where the store has
        more waiting than it will hold.
        """
        ...


class Claims(Protocol):
    """Names that may be held once: an e-mail's hash, an examinee's first attempt, an item code.

    A claim names the stream that is to hold it before that stream exists. Whoever comes second is
    told the same stream, and the first append to it decides. So a crash between claim and append
    blocks nobody: the next comer carries on with the same stream.
    """

    async def claim(self, scope: str, keys: Sequence[str], stream_ids: Sequence[StreamId]) -> list[StreamId]:
        """The holders of the keys, in order, after claiming the free ones for the given streams."""
        ...

    async def holder(self, scope: str, key: str) -> StreamId | None: ...

    async def holders(self, scope: str, keys: Sequence[str]) -> list[StreamId | None]:
        """The same of many keys, in order."""
        ...


class Credentials(Protocol):
    """Hashes of passwords and client secrets. The log says which one is valid, never what it is."""

    async def put(self, credential_id: str, subject_id: str, kind: str, hash_: str) -> None: ...

    async def get(self, credential_id: str) -> str | None: ...

    async def forget(self, credential_id: str) -> None:
        """Removes what is valid no longer."""
        ...


MailKind: TypeAlias = Literal[
    "verify_email", "password_reset", "password_changed", "invitation", "role_review_due", "roles_to_confirm"
]


class Mail(Protocol):
    """What is to be written to people. Sent soon, by somebody else, who looks then whether it is still true.

    So it may be asked for before the event is appended that it tells of: if that never happens, nothing is
    sent. What waits already is not asked for twice.
    """

    async def to_person(self, kind: MailKind, user_id: StreamId, mail_id: str | None = None) -> None:
        """`password_changed` goes out under the id of the new credential, once that is the valid one."""
        ...

    async def to_address(self, kind: MailKind, email_hash: str) -> None:
        """To whoever has this address, if anybody: takes as long in either case."""
        ...

    async def to_invitee(self, invitation_id: StreamId, mail_id: str) -> None:
        """To the address that the invitation is for, once there is such an invitation."""
        ...


class NoMail:
    """Where nobody is written to."""

    async def to_person(self, kind: MailKind, user_id: StreamId, mail_id: str | None = None) -> None: ...

    async def to_address(self, kind: MailKind, email_hash: str) -> None: ...

    async def to_invitee(self, invitation_id: StreamId, mail_id: str) -> None: ...


class Links(Protocol):
    """Links that were sent by mail: each is good once, and for a while."""

    async def subject(self, token: str, purpose: MailKind) -> StreamId | None:
        """Whom the link is for, as long as it is good."""
        ...

    async def use(self, token: str, purpose: MailKind) -> StreamId | None:
        """The same, and it is good no more; of two who come at once one is told."""
        ...

    async def withdraw(self, purpose: MailKind, subject_id: StreamId) -> None:
        """None that somebody was sent for this is good any more."""
        ...


class Hasher(Protocol):
    """A slow hash for passwords, run apart so that nothing else waits for it."""

    def place(self) -> AbstractContextManager[None]:
        """Taken before anything else is asked for a hash that a stranger orders; refuses where there is none.

        Of ten thousand who come at once most are sent away so, and cost the database nothing.
        """
        ...

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, hash_: str) -> bool: ...

    async def verify_dummy(self, password: str) -> None:
        """Takes as long as a real check, for accounts that do not exist."""
        ...


class AccessNotApplied(Unavailable):
    """What was ordered is in the log and takes effect; it cannot be said yet that it has."""

    code = "access-not-applied"
    title = "It is recorded, and does not keep everybody out yet"


class AccessApplied(Protocol):
    """Whether the read side goes by an event that takes access away.

    A command that takes access away is acknowledged after this: the very next read finds nothing.
    """

    async def wait(self, stream_id: StreamId, version: int) -> None:
        """Returns when no read goes by what was before this event. Raises `AccessNotApplied`."""
        ...


class NobodyReads:
    """Where there is no read side to wait for."""

    async def wait(self, stream_id: StreamId, version: int) -> None: ...


class OlderTokens(Protocol):
    """Access tokens name the roles that an account had at a version: see `infra.auth.revocations`."""

    async def end_older(self, subject_id: str, account_version: int) -> None:
        """Refuses somebody's tokens whose roles were read from an account before this version."""
        ...


class NoTokens:
    """Where nobody has a token."""

    async def end_older(self, subject_id: str, account_version: int) -> None: ...
