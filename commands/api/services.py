"""What the write API's routes may ask for at run time."""

from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request

from commands.api.open_answers import OpenAnswers
from commands.calibrate_bank import BankCalibrations
from commands.write_side import WriteSide
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


class RefreshTokens(Protocol):
    """See `infra.auth.refresh.RefreshTokens`."""

    async def start(self, subject_id: str, session_id: str, now: datetime) -> Grant: ...

    async def rotate(self, token: str, now: datetime) -> Grant: ...


class PasswordRules(Protocol):
    """See `infra.auth.passwords`."""

    def check(self, password: str) -> None:
        """Raises `WeakPassword`."""
        ...


class WriteServices(HttpServices, Protocol):
    @property
    def write(self) -> WriteSide: ...
    @property
    def access_tokens(self) -> AccessTokens: ...
    @property
    def refresh_tokens(self) -> RefreshTokens: ...
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
    def open_answers(self) -> OpenAnswers: ...


async def _write_services(request: Request) -> WriteServices:
    services: WriteServices = await injected_services(request)
    return services


Services = Annotated[WriteServices, Depends(_write_services)]
