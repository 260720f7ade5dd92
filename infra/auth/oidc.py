"""Signing in with other providers: OpenID Connect, authorization code flow with PKCE (RFC 7636, S256).

`commands.external_identities.IdentityProviders`. Providers are data (`infra.settings.OidcSettings`); whom one
vouches for is believed only after every check of `infra.auth.oidc_tokens`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

import msgspec
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from commands.external_identities import (
    ProofRefused,
    ProvenIdentity,
    ProviderNotFound,
    ProviderUnavailable,
    Returned,
)
from domain.identifiers import StreamId
from domain.languages import Language
from domain.users.addresses import is_address
from domain.zones import ZoneId
from infra.auth.oidc_documents import RETRY_AFTER_S, Discovered, IssuerDocuments
from infra.auth.oidc_fetch import BoundedFetch, FetchFailed
from infra.auth.oidc_flows import Asked, Flow, OidcFlows, Taken
from infra.auth.oidc_tokens import Expected, IdTokenRefused, KeyUnknown, checked_claims
from infra.http.text import has_forbidden_characters
from infra.secrets_files import SecretFileError
from infra.settings import OidcProvider

log = structlog.get_logger("auth")

_LONGEST_NAME: Final = 100


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send the browser, and what only this browser is told."""

    authorization_url: str
    state: str
    binding: str
    expires_at: datetime


class OidcProviders:
    def __init__(
        self,
        providers: Sequence[OidcProvider],
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        *,
        site: str,
        secret: bytes,
        clock: Callable[[], datetime],
    ) -> None:
        """`site` is where people meet us, for providers that name no address to come back to."""
        self._clock = clock
        self._flows = OidcFlows(pool, secret=secret, clock=clock)
        self._clients = {each.name: _Client(each, site, clock) for each in providers}

    @property
    def names(self) -> Sequence[str]:
        return list(self._clients)

    @property
    def shown(self) -> Sequence[tuple[str, str]]:
        """Name and title of each, in the order of the settings."""
        return [(name, client.title) for name, client in self._clients.items()]

    async def start(
        self, provider: str, *, zone_id: ZoneId, language: Language, user_id: StreamId | None = None
    ) -> Started:
        """`user_id` is who links an identity. Raises `ProviderNotFound` and `ProviderUnavailable`."""
        client = self._client(provider)
        discovered = await client.discovered()
        asked = Asked(provider=provider, zone_id=zone_id, language=language, user_id=user_id)
        flow = await self._flows.begin(asked)
        return Started(
            authorization_url=client.authorization_url(discovered, flow),
            state=flow.state,
            binding=flow.binding,
            expires_at=flow.expires_at,
        )

    async def proven(self, provider: str, returned: Returned, user_id: StreamId | None) -> ProvenIdentity:
        client = self._client(provider)
        taken = await self._flows.take(returned.state, returned.binding, provider=provider, user_id=user_id)
        if taken is None:
            _refuse(provider, "it was not started so, or was finished before")
        claims = await client.claims(returned, taken, now_s=int(self._clock().timestamp()))
        return ProvenIdentity(
            provider=provider,
            issuer=client.issuer,
            subject=claims["sub"],
            email=_verified_email(claims),
            display_name=_name(claims),
            zone_id=taken.zone_id,
            language=taken.language,
        )

    async def sweep(self, now: datetime) -> None:
        """Removes what was started and never finished."""
        await self._flows.sweep(now)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    def _client(self, name: str) -> "_Client":
        try:
            return self._clients[name]
        except KeyError:
            raise ProviderNotFound from None


class _Client:
    """This service as a client of one provider."""

    def __init__(self, provider: OidcProvider, site: str, clock: Callable[[], datetime]) -> None:
        self.issuer = provider.issuer
        self.title = provider.title or provider.name
        self._provider = provider
        self._secret = _client_secret(provider)
        self._redirect_uri = provider.redirect_uri or f"{site}/sign-in/{provider.name}"
        self._fetch = BoundedFetch(provider.issuer)
        self._documents = IssuerDocuments(provider.issuer, self._fetch, clock)

    async def close(self) -> None:
        await self._fetch.close()

    async def discovered(self) -> Discovered:
        """Raises `ProviderUnavailable`."""
        try:
            return await self._documents.discovered()
        except FetchFailed as error:
            self._away(error)

    def authorization_url(self, discovered: Discovered, flow: Flow) -> str:
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # type: ignore[import-untyped] # none published
        from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped] # none published

        return str(
            prepare_grant_uri(
                discovered.authorization_endpoint,
                client_id=self._provider.client_id,
                response_type="code",
                redirect_uri=self._redirect_uri,
                scope=" ".join(self._provider.scopes),
                state=flow.state,
                nonce=flow.nonce,
                code_challenge=create_s256_code_challenge(flow.verifier),
                code_challenge_method="S256",
            )
        )

    async def claims(self, returned: Returned, taken: Taken, *, now_s: int) -> dict[str, Any]:
        """Whom the provider vouches for. Raises `ProviderUnavailable` and `ProofRefused`."""
        discovered = await self.discovered()
        # RFC 9207: who says from whom the code comes must say that it comes from this one.
        says_who = discovered.authorization_response_iss_parameter_supported
        if returned.issuer != self.issuer and (says_who or returned.issuer is not None):
            _refuse(self._provider.name, "the code comes from another issuer")
        try:
            tokens = await self._exchanged(discovered, returned.code, taken.verifier)
            expected = Expected(
                issuer=self.issuer,
                client_id=self._provider.client_id,
                nonce=taken.nonce,
                access_token=tokens["access_token"],
                now_s=now_s,
            )
            try:
                return checked_claims(tokens["id_token"], await self._documents.keys(), expected)
            except KeyUnknown:
                keys = await self._documents.keys(again=True)
                return checked_claims(tokens["id_token"], keys, expected)
        except FetchFailed as error:
            self._away(error)
        except IdTokenRefused as error:
            _refuse(self._provider.name, f"the ID token: {error}")

    async def _exchanged(self, discovered: Discovered, code: str, verifier: str) -> Mapping[str, str]:
        from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped] # none published
        from authlib.oauth2.rfc6749.parameters import prepare_token_request

        body = prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=self._redirect_uri,
            code_verifier=verifier,
        )
        auth = ClientAuth(self._provider.client_id, self._secret, self._auth_method(discovered))
        content_type = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
        _, headers, body = auth.prepare("POST", discovered.token_endpoint, content_type, body)
        status, answer = await self._fetch.post(discovered.token_endpoint, body, headers)
        if status != 200 or not isinstance(answer, dict):
            # `invalid_client` is our own mistake; to the person it is the same.
            error = answer.get("error") if isinstance(answer, dict) else None
            _refuse(self._provider.name, f"the code was not exchanged: {status} {error!r:.100}")
        wrong = [name for name in ("access_token", "id_token") if not isinstance(answer.get(name), str)]
        if wrong:
            _refuse(self._provider.name, f"there came no {wrong[0]}")
        return answer

    def _auth_method(self, discovered: Discovered) -> str:
        if self._secret is None:
            return "none"
        known = discovered.token_endpoint_auth_methods_supported
        by_post = "client_secret_basic" not in known and "client_secret_post" in known
        return "client_secret_post" if by_post else "client_secret_basic"

    def _away(self, error: FetchFailed) -> NoReturn:
        log.warning("identity provider unavailable", provider=self._provider.name, reason=str(error))
        raise ProviderUnavailable(provider=self._provider.name, retry_after_s=RETRY_AFTER_S) from error


def _refuse(provider: str, reason: str) -> NoReturn:
    log.warning("identity refused", provider=provider, reason=reason)
    raise ProofRefused(provider=provider, reason=reason)


def _client_secret(provider: OidcProvider) -> str | None:
    """Raises SecretFileError."""
    if provider.client_secret_file is None:
        return None
    try:
        return provider.client_secret_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretFileError(f"{provider.client_secret_file} cannot be read.") from error


def _verified_email(claims: Mapping[str, Any]) -> str | None:
    """The address, where the provider says that it is the person's. Some say so in a string."""
    email = claims.get("email")
    if claims.get("email_verified") not in (True, "true") or not isinstance(email, str):
        return None
    return email if is_address(email) else None


def _name(claims: Mapping[str, Any]) -> str | None:
    for each in ("name", "preferred_username"):
        name = claims.get(each)
        if isinstance(name, str) and name.strip() and not has_forbidden_characters(name):
            return name.strip()[:_LONGEST_NAME]
    return None
