"""What the routes of the other ways of signing in may ask for at run time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from commands.external_identities import Identities, IdentityProviders
from commands.passkeys import PasskeyRecords
from domain.identifiers import StreamId
from domain.languages import Language
from domain.zones import ZoneId


class Started(Protocol):
    """See `infra.auth.oidc.Started`."""

    @property
    def authorization_url(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def binding(self) -> str: ...
    @property
    def expires_at(self) -> datetime: ...


class Oidc(IdentityProviders, Protocol):
    """See `infra.auth.oidc.OidcProviders`."""

    @property
    def shown(self) -> Sequence[tuple[str, str]]: ...

    async def start(
        self, provider: str, *, zone_id: ZoneId, language: Language, user_id: StreamId | None = None
    ) -> Started: ...


class PasskeyUse(Protocol):
    """See `infra.auth.passkeys_table.PasskeyUse`."""

    @property
    def created_at(self) -> datetime: ...
    @property
    def last_used_at(self) -> datetime | None: ...
    @property
    def suspected_copy_at(self) -> datetime | None: ...


class Passkeys(PasskeyRecords, Protocol):
    """See `infra.auth.passkeys.Passkeys`."""

    async def registration_options(self, user_id: StreamId, name: str) -> dict[str, Any]: ...

    async def sign_in_options(self) -> dict[str, Any]: ...

    async def uses(self, user_id: StreamId) -> Mapping[str, PasskeyUse]: ...


class OtherWays(Protocol):
    """See `infra.auth.oidc_opening.OtherWays`."""

    @property
    def oidc(self) -> Oidc: ...
    @property
    def identities(self) -> Identities: ...
    @property
    def passkeys(self) -> Passkeys: ...
