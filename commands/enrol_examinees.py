"""Enrol: an organisation names the people it examines. They get accounts without a way to sign in."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from commands.context import CommandContext
from commands.kinds import USER
from commands.ports import VersionConflict
from commands.streams import MAX_TRIES
from commands.write_side import WriteSide
from domain.errors import IllegalState
from domain.events import Event
from domain.identifiers import StreamId, stream_id
from domain.languages import Language
from domain.users.account import Deactivated, GrantedRole, Registered, register
from domain.users.events import UserRegistered
from domain.zones import ZoneId

EXAMINEE_SCOPE = "examinee"


class ExamineesDeactivated(IllegalState):
    """`external_refs` are those whose accounts open nothing any longer: nobody is enrolled beside them."""

    code = "examinees-deactivated"
    title = "Accounts of people who are to be enrolled were deactivated; leave them out"


class Examinee(msgspec.Struct, frozen=True, kw_only=True):
    """`external_ref` is the organisation's own name for the person, unique in the organisation."""

    external_ref: str
    display_name: str
    language: Language


class Enrolled(msgspec.Struct, frozen=True):
    external_ref: str
    user_id: StreamId
    status: Literal["enrolled", "existing"]
    version: int


def examinee_key(write: WriteSide, org_id: StreamId, external_ref: str) -> str:
    """Under which an organisation's own name for a person is claimed."""
    return write.keyed_hash(f"{org_id}|{external_ref}")


async def enrol_examinees(
    write: WriteSide,
    context: CommandContext,
    org_id: StreamId,
    zone_id: ZoneId,
    examinees: Sequence[Examinee],
) -> list[Enrolled]:
    """All of them or none, in the order given; who is enrolled already stays as they are.

    Raises `ExamineesDeactivated`, which names all of them.
    """
    keys = [examinee_key(write, org_id, examinee.external_ref) for examinee in examinees]
    wanted = [stream_id("user", write.new_id()) for _ in examinees]
    user_ids = await write.claims.claim(EXAMINEE_SCOPE, keys, wanted)
    for _ in range(MAX_TRIES):
        appends: list[tuple[StreamId, int, list[Event]]] = []
        enrolled: list[Enrolled] = []
        deactivated: list[str] = []
        for examinee, user_id, mine in zip(examinees, user_ids, wanted, strict=True):
            # Only a stream that was claimed before can exist: new ones need no look.
            account = None if user_id == mine else await write.streams.read(USER, user_id)
            if account is not None and isinstance(account.state, Registered):
                enrolled.append(Enrolled(examinee.external_ref, user_id, "existing", account.version))
                continue
            if account is not None and isinstance(account.state, Deactivated):
                deactivated.append(examinee.external_ref)
                continue
            registered = UserRegistered(
                origin="organization",
                zone_id=zone_id,
                display_name=examinee.display_name,
                language=examinee.language,
                org_id=org_id,
                external_ref=examinee.external_ref,
            )
            events = register(USER.initial, registered, [GrantedRole("student", org_id)])
            appends.append((user_id, 0, events))
            enrolled.append(Enrolled(examinee.external_ref, user_id, "enrolled", len(events)))
        if deactivated:
            raise ExamineesDeactivated(external_refs=deactivated)
        try:
            await write.streams.execute_many(context.within(zone_id, org_id), appends)
        except VersionConflict:
            # Somebody enrols the same people at this moment: from now on look at every stream.
            wanted = [""] * len(wanted)
            continue
        return enrolled
    raise VersionConflict
