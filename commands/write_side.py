"""All that the handlers work with, in one place."""

from dataclasses import dataclass, field

from commands.forms import Forms
from commands.ports import Claims, Clock, Credentials, Hasher, KeyedHash, Mail, NewId, NoMail
from commands.streams import Streams


@dataclass(frozen=True, kw_only=True)
class WriteSide:
    streams: Streams
    forms: Forms
    claims: Claims
    credentials: Credentials
    hasher: Hasher
    keyed_hash: KeyedHash
    clock: Clock
    new_id: NewId
    grace_s: float
    mail: Mail = field(default_factory=NoMail)
