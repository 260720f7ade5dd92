"""Ends every sign-in of somebody who may not come back."""

from collections.abc import Callable
from datetime import datetime

from domain.identifiers import StreamId
from infra.auth.refresh import RefreshTokens
from infra.auth.revocations import Revocations


class EndedSignIns:
    """`commands.leavers.SignIns`."""

    def __init__(
        self, refresh_tokens: RefreshTokens, revocations: Revocations, clock: Callable[[], datetime]
    ) -> None:
        self._refresh_tokens = refresh_tokens
        self._revocations = revocations
        self._clock = clock

    async def end_all_of(self, user_id: StreamId) -> None:
        await self._refresh_tokens.revoke_all(user_id, self._clock(), reason="the account was deactivated")
        await self._revocations.end([user_id])
