"""The other ways of signing in, put together: identities of other providers, and passkeys."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from commands.external_identities import Identities
from infra.auth.oidc import OidcProviders
from infra.auth.oidc_claims import PostgresIdentityClaims
from infra.auth.passkeys import Passkeys, RelyingParty
from infra.auth.passkeys_table import PasskeyTable
from infra.settings import PasskeySettings, Settings

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - to be recognised


@dataclass(frozen=True, kw_only=True)
class OtherWays:
    oidc: OidcProviders
    identities: Identities
    passkeys: Passkeys

    async def sweep(self, now: datetime) -> None:
        """Removes what was started and never finished."""
        await self.oidc.sweep(now)
        await self.passkeys.sweep(now)

    async def close(self) -> None:
        await self.oidc.close()


def open_other_ways(
    settings: Settings,
    pool: AsyncConnectionPool[AsyncConnection[Any]],
    *,
    secret: bytes,
    clock: Callable[[], datetime],
) -> OtherWays:
    """Asks nobody yet: a provider that is away hinders no start. Raises SecretFileError."""
    here = f"http://{settings.http.host}:{settings.http.port}"
    site = (settings.mail.site_url or settings.http.public_base_url or here).rstrip("/")
    oidc = OidcProviders(settings.oidc.providers, pool, site=site, secret=secret, clock=clock)
    return OtherWays(
        oidc=oidc,
        identities=Identities(oidc, PostgresIdentityClaims(pool, clock=clock)),
        passkeys=Passkeys(PasskeyTable(pool, clock=clock), relying_party(settings.passkeys, site)),
    )


def relying_party(settings: PasskeySettings, site: str) -> RelyingParty:
    """Where nothing is set, whoever serves the site.

    A number names nobody (WebAuthn, section 5.1.3): on this machine passkeys are made for `localhost`.
    """
    parts = urlsplit(site)
    host = "localhost" if parts.hostname in _LOOPBACK else parts.hostname or "localhost"
    port = f":{parts.port}" if parts.port else ""
    origins = settings.origins or (f"{parts.scheme}://{host}{port}",)
    return RelyingParty(
        rp_id=settings.rp_id or urlsplit(origins[0]).hostname or host,
        name=settings.name,
        origins=origins,
    )
