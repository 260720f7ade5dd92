"""Examinees are made known to the API by names of our own, each once."""

from collections.abc import Sequence

import msgspec

from infra.sample.api_client import SignIn
from infra.sample.state_file import StateFile

ENROL_AT_ONCE = 500


class _Enrolled(msgspec.Struct, frozen=True):
    external_ref: str
    user_id: str


class _Enrolment(msgspec.Struct, frozen=True):
    examinees: list[_Enrolled]


async def enrol(sign_in: SignIn, file: StateFile, prefix: str, names: Sequence[str]) -> None:
    """Puts the ids of all `names` into the state file; only those that it lacks are asked for."""
    user_ids = file.state.user_ids
    missing = [name for name in names if name not in user_ids]
    for begin in range(0, len(missing), ENROL_AT_ONCE):
        part = missing[begin : begin + ENROL_AT_ONCE]
        body = {"examinees": [{"external_ref": f"{prefix}-{name}"} for name in part]}
        key = file.request_key("enrol", body)
        answer = await sign_in.send("POST", "/examinees", body=body, idempotency_key=key)
        enrolled = answer.read(_Enrolment).examinees
        user_ids.update((name, each.user_id) for name, each in zip(part, enrolled, strict=True))
        file.save()
