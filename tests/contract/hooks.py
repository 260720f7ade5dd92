"""What schemathesis cannot know: ids that exist, values that only a server gives out, rules beyond a schema.

No check is switched off. Loaded by path (see schemathesis.toml); `CONTRACT_FACTS` names a JSON file with

- `ids`: by operation id (`*` for the others) the path parameters that exist for whoever asks;
- `cursors`: by operation id a cursor that this list has given out;
- `consistency_token`: of an earlier write;
- `tokens_to_spend`: access tokens of the asker's, for what ends the session that asks for it.
"""

import itertools
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import schemathesis
from hypothesis import strategies as st
from schemathesis.openapi.checks import RejectedPositiveData

FACTS = json.loads(Path(os.environ["CONTRACT_FACTS"]).read_text(encoding="utf-8"))
EXAMPLE_ID = re.compile(r"[a-z_]+-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f")
ENTITY_TAG = re.compile(r'\*|"[1-9][0-9]{0,17}"')

# Refusals of well-formed requests that no schema can promise to avoid: they depend on other fields, on other
# resources, or on a list of common passwords. Everything else in the 400s but 401, 403, 404 and 409 fails.
REFUSED_BY_RULE = {
    "register": {"weak-password", "birth-date-in-the-future"},
    "changeMyPassword": {"weak-password"},
    "resetPassword": {"weak-password"},
    "changeMyProfile": {"stale-version"},
    "createItemBank": {"organization-required"},
    "createItem": {"unusable-item"},
    "reviseItem": {"unusable-item", "stale-version"},
    "importItems": {"rows-refused", "unreadable-file"},
    "draftExam": {"unusable-exam", "organization-required"},
    "redraftExam": {"unusable-exam", "stale-version"},
    "publishExam": {"stale-version", "unusable-exam"},
    "promoteItems": {"nothing-to-promote", "stale-version"},
    "setCalibrationRules": {"unusable-calibration-rules", "stale-version"},
    "enrolExaminees": {"duplicate-examinee", "organization-required"},
    "giveResponse": {"response-does-not-fit"},
    "startSubscription": {"not-paid-ahead"},
    "renewSubscription": {"not-paid-ahead"},
    "importRoster": {"unreadable-roster"},
    "decideAccess": {"not-about-that"},
    "proposePolicy": {"unusable-policy"},
    "reviseProposal": {"unusable-policy", "stale-version"},
    "activatePolicy": {"activation-in-the-past"},
    "renameOrganization": {"stale-version"},
    "inviteMember": {"role-has-no-class"},
    "renameClass": {"stale-version"},
    "closeClass": {"stale-version"},
    "enrollStudents": {"stale-version"},
    "assignTeachers": {"stale-version"},
    "withdrawStudent": {"stale-version"},
    "withdrawTeacher": {"stale-version"},
    "grantRole": {"role-not-grantable"},
    "confirmRole": {"role-not-grantable"},
    "takeRoleAway": {"role-not-grantable"},
}

ENDS_ITS_SESSION = {"logout", "endAllSessions"}
TO_SPEND = itertools.cycle(FACTS["tokens_to_spend"] or [""])

# Of all the years there are, those that the pattern of our moments admits.
_FIRST, _LAST = datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2199-12-31")
_MOMENTS = st.datetimes(_FIRST, _LAST, timezones=st.just(UTC))
schemathesis.openapi.format("date-time", _MOMENTS.map(datetime.isoformat))

# An archive is bytes, and what schemathesis makes up of them is none.
schemathesis.serializer.alias("application/zip", "application/octet-stream")

_sent = 0


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts what exists in the place of what was made up, in well-formed requests only."""
    del context
    _spend_another_token(case, kwargs)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    operation_id = case.operation.definition.raw["operationId"]
    ids = {**FACTS["ids"].get("*", {}), **FACTS["ids"].get(operation_id, {})}
    has_cursor = bool(case.query) and "cursor" in case.query
    if has_cursor and operation_id not in FACTS["cursors"]:
        # A list of which there is one page has given out none.
        del case.query["cursor"]
        has_cursor = False
    if has_cursor:
        case.query["cursor"] = FACTS["cursors"][operation_id]
    for name, value in (case.path_parameters or {}).items():
        # A cursor belongs to one list, so the list has to be the one that it belongs to.
        if name in ids and (has_cursor or EXAMPLE_ID.fullmatch(str(value))):
            case.path_parameters[name] = ids[name]
    if case.headers is not None:
        _use_headers_that_a_client_would(case)


def _spend_another_token(case, kwargs):
    """Whoever signs out is to ask for all the rest with the token that the run began with."""
    headers = kwargs.get("headers") or {}
    if case.operation.definition.raw["operationId"] in ENDS_ITS_SESSION and "Authorization" in headers:
        kwargs["headers"] = {**headers, "Authorization": f"Bearer {next(TO_SPEND)}"}


def _use_headers_that_a_client_would(case):
    """Tokens that an answer held, and keys that were never used before."""
    global _sent  # noqa: PLW0603 - schemathesis loads this file once per run and calls functions
    if "Consistency-Token" in case.headers:
        case.headers["Consistency-Token"] = FACTS["consistency_token"]
    if "If-Match" in case.headers and not ENTITY_TAG.fullmatch(case.headers["If-Match"]):
        # Schemathesis draws no quotation marks into a header: 0 is no tag, "0" would be none of ours.
        case.headers["If-Match"] = "*"
    if "Idempotency-Key" in case.headers:
        # Sent with other contents a key is refused, and made-up keys are short and often the same.
        _sent += 1
        case.headers["Idempotency-Key"] = f"{case.headers['Idempotency-Key'][:200]}-{_sent}"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Whether a failure counts."""
    del context
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = response.json()["type"].removeprefix("urn:megacity:problem:")
    return problem not in REFUSED_BY_RULE.get(case.operation.definition.raw["operationId"], set())
