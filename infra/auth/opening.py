"""What signing in needs of the outside world, put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from commands.write_side import WriteSide
from infra.auth.failures import SignInFailures
from infra.auth.key_ring import KeyRing
from infra.auth.links import OneTimeLinks
from infra.auth.refresh import RefreshTokens
from infra.auth.revocations import Revocations
from infra.auth.tokens import TokenIssuer, TokenVerifier
from infra.observability.sign_in_metrics import SignInMetrics
from infra.outbox.asked import Outbox
from infra.outbox.letters import Envelope
from infra.outbox.senders import chosen_sender
from infra.outbox.worker import OutboxWorker
from infra.settings import AuthSettings, RedisSettings, Settings


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """`loops` run as long as the process answers requests."""

    token_keys: KeyRing
    token_verifier: TokenVerifier
    access_tokens: TokenIssuer
    refresh_tokens: RefreshTokens
    revocations: Revocations
    links: OneTimeLinks
    outbox: Outbox
    failures: SignInFailures

    @property
    def loops(self) -> Sequence[Callable[[], Any]]:
        return [self.revocations.follow, self.failures.follow]

    async def sweep(self, now: datetime) -> None:
        """Removes what has expired."""
        await self.refresh_tokens.sweep(now)
        await self.links.sweep(now)
        await self.outbox.sweep(now)


async def open_sign_in(  # noqa: PLR0913 - all but two by name
    settings: AuthSettings,
    pool: AsyncConnectionPool[AsyncConnection[Any]],
    *,
    refresh_secret: bytes,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    registry: CollectorRegistry,
) -> SignIn:
    """Raises SigningKeyError and SecretFileError."""
    keys = KeyRing(settings.signing_key_file, clock)
    revocations = Revocations(pool, clock=clock)
    # Before the first request: a process that has just begun believes no ended session either.
    await revocations.refresh(whole=True)
    token_names = (settings.issuer, settings.audience)
    return SignIn(
        token_keys=keys,
        token_verifier=TokenVerifier(keys, *token_names, clock, ended=revocations.ends),
        access_tokens=TokenIssuer(keys, *token_names, settings.access_token_ttl_s, clock, new_id=new_id),
        refresh_tokens=RefreshTokens(
            pool,
            secret=refresh_secret,
            grace_s=settings.refresh_grace_s,
            lifetime_s=settings.refresh_ttl_s,
            on_ended=revocations.note,
        ),
        revocations=revocations,
        links=OneTimeLinks(pool, secret=refresh_secret, clock=clock),
        outbox=Outbox(pool, clock=clock, new_id=new_id),
        failures=SignInFailures(pool, SignInMetrics.create(registry), clock=clock),
    )


def revocation_news(settings: RedisSettings, sign_in: SignIn) -> list[Callable[[], Any]]:
    """What tells the other processes of revocations, and is told of theirs, where Redis connects them."""
    if settings.url is None:
        return []
    # Redis' client takes a tenth of a second to load, which nobody without Redis shall wait for.
    from infra.auth.revocation_news import RevocationNews

    news = RevocationNews(settings.url.get_secret_value())
    sign_in.revocations.on_noted = news.ring
    return [lambda: news.follow(sign_in.revocations.refresh)]


def outbox_worker(settings: Settings, sign_in: SignIn, write: WriteSide) -> OutboxWorker:
    """Sends what waits in the outbox; any number of processes may run one."""
    here = f"http://{settings.http.host}:{settings.http.port}"
    site = settings.mail.site_url or settings.http.public_base_url or here
    return OutboxWorker(
        outbox=sign_in.outbox,
        links=sign_in.links,
        write=write,
        sender=chosen_sender(settings.mail, settings.mail_dir),
        envelope=Envelope(sender=settings.mail.from_address, site=site.rstrip("/")),
        clock=write.clock,
    )
