"""What the write API's routes may ask for at run time."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from commands.access import Attributes, DecisionRecords
from commands.api.open_answers import OpenAnswers
from commands.api.other_ways import OtherWays
from commands.calibrate_bank import BankCalibrations
from commands.members import ClassLists
from commands.policies import LivePolicies, PolicyEngine, Simulator
from commands.ports import Links
from commands.roster.importing import RosterLists
from commands.write_side import WriteSide
from commands.zones import ZoneMeasures
from domain.policies.policy_set import ActiveRule
from domain.zones import ZoneId
from infra.http.principal import Principal
from infra.http.services import HttpServices, injected_services


class AccessTokens(Protocol):
    """See `infra.auth.tokens.TokenIssuer`."""

    def issue(self, principal: Principal, *, ttl_s: int | None = None) -> tuple[str, int]:
        """An access token and the seconds for which it is valid."""
        ...


class Grant(Protocol):
    """A refresh token and the session that it belongs to: see `infra.auth.refresh`."""

    @property
    def token(self) -> str: ...
    @property
    def session_id(self) -> str: ...
    @property
    def subject_id(self) -> str: ...
    @property
    def credential_id(self) -> str | None: ...


class Client(Protocol):
    """Where a request came from: see `infra.auth.refresh.Client`."""

    @property
    def user_agent(self) -> str | None: ...
    @property
    def address(self) -> str | None: ...


class Session(Client, Protocol):
    """One sign-in that is still good: see `infra.auth.refresh.Session`."""

    @property
    def session_id(self) -> str: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def last_used_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime: ...


class RefreshTokens(Protocol):
    """See `infra.auth.refresh.RefreshTokens`."""

    async def start(
        self,
        subject_id: str,
        session_id: str,
        now: datetime,
        *,
        client: Client,
        credential_id: str | None = None,
    ) -> Grant: ...

    async def rotate(self, token: str, now: datetime, *, client: Client) -> Grant: ...

    async def sessions(self, subject_id: str, now: datetime) -> Sequence[Session]: ...

    async def revoke(
        self, session_id: str, now: datetime, *, reason: str = "signed out", subject_id: str | None = None
    ) -> bool: ...

    async def revoke_all(self, subject_id: str, now: datetime, *, reason: str, but: str | None = None) -> int:
        """Ends every sign-in of somebody, one session perhaps excepted."""
        ...

    async def renew_credential(self, session_id: str, credential_id: str) -> None:
        """The sign-in goes on under a new password."""
        ...


class Revocations(Protocol):
    """See `infra.auth.revocations.Revocations`."""

    async def end(self, ids: Iterable[str]) -> None:
        """Refuses all tokens of these sessions or subjects."""
        ...

    async def end_older(self, subject_id: str, account_version: int) -> None:
        """Refuses the tokens of somebody whose roles were read from an older account; sign-ins go on."""
        ...


class TokenKeys(Protocol):
    """See `infra.auth.key_ring.KeyRing`."""

    def verifying_keys(self, *, again: bool = False) -> Sequence[dict[str, Any]]:
        """Public JWKs."""
        ...


class SignInFailures(Protocol):
    """See `infra.auth.failures.SignInFailures`."""

    def count(self) -> None:
        """One more sign-in was refused."""
        ...


class SignIn(Protocol):
    """See `infra.auth.opening.SignIn`."""

    @property
    def token_keys(self) -> TokenKeys: ...
    @property
    def revocations(self) -> Revocations: ...
    @property
    def links(self) -> Links: ...
    @property
    def failures(self) -> SignInFailures: ...


class PasswordRules(Protocol):
    """See `infra.auth.passwords`."""

    def check(self, password: str) -> None:
        """Raises `WeakPassword`."""
        ...

    def require_room(self) -> None:
        """Refuses where no more passwords can be hashed at the moment."""
        ...


class AccessRules(Protocol):
    """See `infra.policies.opening.AccessRules`."""

    @property
    def founding(self) -> Sequence[ActiveRule]:
        """The rules that came with the release."""
        ...

    @property
    def policies(self) -> LivePolicies: ...
    @property
    def attributes(self) -> Attributes: ...
    @property
    def records(self) -> DecisionRecords: ...


class WriteServices(HttpServices, Protocol):
    @property
    def write(self) -> WriteSide: ...
    @property
    def access_tokens(self) -> AccessTokens: ...
    @property
    def refresh_tokens(self) -> RefreshTokens: ...
    @property
    def sign_in(self) -> SignIn: ...
    @property
    def other_ways(self) -> OtherWays: ...
    @property
    def password_rules(self) -> PasswordRules: ...
    @property
    def default_zone(self) -> ZoneId: ...
    @property
    def next_item_wait_s(self) -> float:
        """How long an answer in an adaptive attempt waits for the engine, which decides what comes next."""
        ...

    @property
    def calibrations(self) -> BankCalibrations: ...
    @property
    def policy_engine(self) -> PolicyEngine: ...
    @property
    def access_rules(self) -> AccessRules: ...
    @property
    def simulator(self) -> Simulator: ...
    @property
    def zone_measures(self) -> ZoneMeasures: ...
    @property
    def class_lists(self) -> ClassLists: ...
    @property
    def roster_lists(self) -> RosterLists: ...
    @property
    def open_answers(self) -> OpenAnswers: ...


async def _write_services(request: Request) -> WriteServices:
    services: WriteServices = await injected_services(request)
    return services


Services = Annotated[WriteServices, Depends(_write_services)]
