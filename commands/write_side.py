"""All that the handlers work with, in one place."""

from dataclasses import dataclass, field

from commands.forms import Forms
from commands.ports import (
    AccessApplied,
    Claims,
    Clock,
    Credentials,
    Hasher,
    KeyedHash,
    Mail,
    NewId,
    NobodyReads,
    NoMail,
    NoTokens,
    OlderTokens,
)
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
    access_applied: AccessApplied = field(default_factory=NobodyReads)
    older_tokens: OlderTokens = field(default_factory=NoTokens)
