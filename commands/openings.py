"""What an adaptive attempt begins with: the prior, carried over from an earlier test or not, and its seed."""

import hashlib
from datetime import timedelta
from math import hypot

import msgspec

from commands.kinds import ATTEMPT
from commands.streams import Loaded
from commands.write_side import WriteSide
from domain.attempts.adaptive import Prior
from domain.attempts.attempt import Attempt, NotStarted, Scored
from domain.exams.adaptive import AdaptiveRules, CarryOver
from domain.exams.events import Blueprint
from domain.exams.exam import MAX_ATTEMPTS
from domain.identifiers import StreamId

ATTEMPT_SCOPE = "attempt"


class Opening(msgspec.Struct, frozen=True):
    prior: Prior
    seed: int


def attempt_key(exam_id: StreamId, examinee_id: StreamId, ordinal: int) -> str:
    """Under which the examinee's so-manieth attempt at an exam is claimed."""
    return f"{exam_id}|{examinee_id}|{ordinal}"


async def opening_of(write: WriteSide, blueprint: Blueprint, examinee_id: StreamId) -> Opening:
    """Draws the seed, and looks for an earlier ability where the exam says so."""
    rules = blueprint.adaptive
    assert rules is not None
    # An id is random enough to hash, and the one source of chance that handlers have.
    seed = int.from_bytes(hashlib.sha256(write.new_id().encode()).digest()[:8]) >> 11
    return Opening(await _prior(write, rules, examinee_id), seed)


async def _prior(write: WriteSide, rules: AdaptiveRules, examinee_id: StreamId) -> Prior:
    usual = Prior(mean=rules.prior_mean, sd=rules.prior_sd)
    if rules.carry_over is None:
        return usual
    found = await _latest_scored(write, rules.carry_over, examinee_id)
    if found is None:
        return usual
    attempt_id, scored = found
    sitting = scored.attempt.sitting
    assert sitting is not None
    # Far out the grid of abilities ends: a prior beyond 4 logits would lean against its edge.
    mean = max(-4.0, min(4.0, sitting.theta))
    # And its points lie 0.2 logits apart: a narrower prior would fall between two of them.
    sd = max(0.2, hypot(sitting.se, rules.carry_over.drift_sd))
    return Prior(mean=mean, sd=sd, carried_over_from=attempt_id)


async def _latest_scored(
    write: WriteSide, carried: CarryOver, examinee_id: StreamId
) -> tuple[StreamId, Scored] | None:
    oldest = write.clock() - timedelta(days=carried.max_age_days)
    latest: tuple[StreamId, Scored] | None = None
    for ordinal in range(1, MAX_ATTEMPTS + 1):
        key = attempt_key(carried.exam_id, examinee_id, ordinal)
        attempt_id = await write.claims.holder(ATTEMPT_SCOPE, key)
        if attempt_id is None:
            break
        known: Loaded[Attempt] = await write.streams.read(ATTEMPT, attempt_id)
        if isinstance(known.state, NotStarted):
            break
        if (
            isinstance(known.state, Scored)
            and known.state.attempt.sitting is not None
            # One that ended before a response counted has found nothing.
            and known.state.attempt.sitting.method != "prior"
            and known.state.attempt.started_at >= oldest
        ):
            latest = attempt_id, known.state
    return latest
