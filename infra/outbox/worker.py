"""Sends what waits in the outbox, once; where it cannot be sent now, later.

A mail is taken under a lease, sent, and marked as sent. Who dies in between leaves it to the next, who sends
it again under the same Message-ID, by which mail programs know it.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from commands.kinds import INVITATION, USER
from commands.register_user import EMAIL_SCOPE
from commands.write_side import WriteSide
from domain.identifiers import StreamId
from domain.invitations.invitation import Pending, is_open
from domain.users.account import Account, Registered, Unregistered
from domain.users.role_rules import REVIEWED_ROLES
from infra.auth.links import GOOD_FOR, OneTimeLinks
from infra.outbox.asked import Asked, Outbox
from infra.outbox.letters import Envelope
from infra.outbox.senders import NotSent, Sender

LOOK_INTERVAL_S: Final = 1.0
AT_ONCE: Final = 20
GIVEN_UP_AFTER: Final = timedelta(days=1)
APPENDED_WITHIN: Final = timedelta(minutes=1)
RESETS_AN_HOUR: Final = 3
"""To one address: whoever knows it could fill its mailbox."""
CONFIRMATIONS_AN_HOUR: Final = 3
"""To one person: the address that they registered with may be somebody else's."""
_FIRST_DELAY_S: Final = 2.0
_LONGEST_DELAY_S: Final = 900.0

log = structlog.get_logger("outbox")


class OutboxWorker:
    def __init__(  # noqa: PLR0913 - what it works with, all by name
        self,
        *,
        outbox: Outbox,
        links: OneTimeLinks,
        write: WriteSide,
        sender: Sender,
        envelope: Envelope,
        clock: Callable[[], datetime],
    ) -> None:
        self._outbox = outbox
        self._links = links
        self._write = write
        self._sender = sender
        self._envelope = envelope
        self._clock = clock

    async def follow(self) -> None:
        """Sends what is due, every second, whatever happens, until it is cancelled."""
        while True:
            taken = 0
            try:
                taken = await self.send_due()
            except Exception as error:
                # The database may be away: what waits goes on waiting.
                log.exception("outbox not looked at", error=type(error).__name__)
            if taken < AT_ONCE:
                await asyncio.sleep(LOOK_INTERVAL_S)

    async def send_due(self) -> int:
        """Tries what is due, at most `AT_ONCE` mails; returns how many were tried."""
        taken = await self._outbox.take(AT_ONCE)
        for asked in taken:
            try:
                await self._send(asked)
            except NotSent as error:
                log.warning("mail not sent", mail_id=asked.mail_id, kind=asked.kind, error=str(error))
                await self._later(asked)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others must go out
                # No traceback and no words of it: they may quote the address.
                name = type(error).__name__
                log.error("mail failed", mail_id=asked.mail_id, kind=asked.kind, error=name)  # noqa: TRY400 - no words
                await self._later(asked)
        return len(taken)

    async def _send(self, asked: Asked) -> None:
        if asked.kind == "invitation":
            await self._send_invitation(asked)
            return
        user_id = await self._recipient(asked)
        state: Account = Unregistered()
        if user_id is not None:
            state = (await self._write.streams.read(USER, user_id)).state
        if self._may_come_true(asked, state):
            await self._later(asked)
            return
        if user_id is None or not isinstance(state, Registered) or not await self._wanted(asked, state):
            await self._outbox.finish(asked.mail_id, "dropped")
            return
        assert state.email is not None
        token = None
        if asked.kind in GOOD_FOR:
            token = await self._links.make(asked.mail_id, asked.kind, user_id)
        letter = self._envelope.letter(
            asked.kind,
            mail_id=asked.mail_id,
            address=state.email,
            name=state.display_name,
            language=state.language,
            token=token,
            written_at=asked.asked_at,
        )
        await asyncio.to_thread(self._sender.send, asked.mail_id, letter)
        await self._outbox.finish(asked.mail_id, "sent")
        log.info("mail sent", mail_id=asked.mail_id, kind=asked.kind, tries=asked.tries)

    async def _send_invitation(self, asked: Asked) -> None:
        """To the address itself: nobody looks whether it is an account's."""
        assert asked.subject_id is not None
        state = (await self._write.streams.read(INVITATION, asked.subject_id)).state
        now = self._clock()
        if not isinstance(state, Pending) or not is_open(state, now):
            if now - asked.asked_at < APPENDED_WITHIN:
                await self._later(asked)
            else:
                await self._outbox.finish(asked.mail_id, "dropped")
            return
        letter = self._envelope.letter(
            asked.kind,
            mail_id=asked.mail_id,
            address=state.invited.email,
            name=state.invited.org_name,
            language=state.invited.language,
            token=asked.subject_id,
            written_at=asked.asked_at,
        )
        await asyncio.to_thread(self._sender.send, asked.mail_id, letter)
        await self._outbox.finish(asked.mail_id, "sent")
        log.info("mail sent", mail_id=asked.mail_id, kind=asked.kind, tries=asked.tries)

    def _may_come_true(self, asked: Asked, state: Account) -> bool:
        """Mails are asked for before the event that they tell of: it may be appended in a moment."""
        if asked.email_hash is not None:
            return False
        if isinstance(state, Unregistered):
            return True
        is_new = self._clock() - asked.asked_at < APPENDED_WITHIN
        return is_new and isinstance(state, Registered) and not _has_happened(asked, state)

    async def _recipient(self, asked: Asked) -> StreamId | None:
        if asked.email_hash is None:
            return asked.subject_id
        return await self._write.claims.holder(EMAIL_SCOPE, asked.email_hash)

    async def _wanted(self, asked: Asked, account: Registered) -> bool:
        """Whether it is still to be sent, as things are now."""
        if account.email is None or not _has_happened(asked, account):
            return False
        an_hour_ago = self._clock() - timedelta(hours=1)
        if asked.kind == "verify_email" and asked.subject_id is not None:
            sent = await self._outbox.sent_to_person_since(asked.subject_id, asked.kind, an_hour_ago)
            return not account.email_verified and sent < CONFIRMATIONS_AN_HOUR
        if asked.kind == "role_review_due":
            return any(account.role(role, None) for role in REVIEWED_ROLES)
        if asked.kind == "roles_to_confirm":
            return account.role("sys_admin", None) is not None
        if asked.email_hash is not None:
            sent = await self._outbox.sent_since(asked.email_hash, asked.kind, an_hour_ago)
            return sent < RESETS_AN_HOUR
        return True

    async def _later(self, asked: Asked) -> None:
        if self._clock() - asked.asked_at > GIVEN_UP_AFTER:
            log.error("mail given up", mail_id=asked.mail_id, kind=asked.kind, tries=asked.tries)
            await self._outbox.finish(asked.mail_id, "dropped")
            return
        delay_s = min(_FIRST_DELAY_S * 2.0 ** min(asked.tries - 1, 20), _LONGEST_DELAY_S)
        await self._outbox.postpone(asked.mail_id, timedelta(seconds=delay_s))


def _has_happened(asked: Asked, account: Registered) -> bool:
    """A mail of a new password has the id of the credential that it tells of."""
    return asked.kind != "password_changed" or account.credential_id == asked.mail_id
