"""From items to a published exam, by the API: bank, import, draft, publish. Each step is done once."""

from typing import Any

import msgspec

from infra.sample.api_client import ApiRefused, SignIn
from infra.sample.state_file import StateFile

UNKNOWN_ITEMS = frozenset({"unusable-exam"})
"""What the API calls a draft that names items it does not have."""


class ExamPlan(msgspec.Struct, frozen=True, kw_only=True):
    """An exam to be made.

    Attributes:
        bank: body of the request that makes the item bank.
        items: body of the import; an object with a list `items`.
        exam: body of the request that drafts the exam, without its items: all that were imported, in order.
    """

    bank: dict[str, Any]
    items: bytes
    exam: dict[str, Any]


class PublishedExam(msgspec.Struct, frozen=True):
    """`consistency_token`, sent with a read, makes sure that the read knows the exam."""

    exam_id: str
    consistency_token: str | None


async def author_exam(sign_in: SignIn, plan: ExamPlan, file: StateFile) -> PublishedExam:
    """The published exam; what the state file does not name is made first. Raises `PlayStopped`.

    Each step is noted as soon as it is done. The requests carry keys too, for whoever is stopped between a
    step and its note; the server knows a key for 24 hours, the file knows a step for ever.
    """
    noted = file.state.bank_id is not None or file.state.exam_id is not None
    try:
        return await _go_on(sign_in, plan, file)
    except ApiRefused as refused:
        if not noted or (refused.status != 404 and refused.slug not in UNKNOWN_ITEMS):
            raise
    # The file is about another database than the one behind this API now.
    file.forget()
    return await _go_on(sign_in, plan, file)


async def _go_on(sign_in: SignIn, plan: ExamPlan, file: StateFile) -> PublishedExam:
    state = file.state
    if state.exam_id is None:
        if not state.item_ids:
            if state.bank_id is None:
                state.bank_id = await _make_bank(sign_in, plan, file)
                file.save()
            state.item_ids = await _import_items(sign_in, plan, file, state.bank_id)
            file.save()
        state.exam_id = await _draft(sign_in, plan, file, state.item_ids)
        file.save()
    return await _publish(sign_in, state.exam_id)


class _Bank(msgspec.Struct, frozen=True):
    bank_id: str


class _ImportedItem(msgspec.Struct, frozen=True):
    code: str
    item_id: str


class _Imported(msgspec.Struct, frozen=True):
    rows: list[_ImportedItem]


class _Exam(msgspec.Struct, frozen=True):
    exam_id: str


async def _make_bank(sign_in: SignIn, plan: ExamPlan, file: StateFile) -> str:
    key = file.request_key("bank", plan.bank)
    answer = await sign_in.send("POST", "/item-banks", body=plan.bank, idempotency_key=key)
    return answer.read(_Bank).bank_id


async def _import_items(sign_in: SignIn, plan: ExamPlan, file: StateFile, bank_id: str) -> dict[str, str]:
    """Item ids by code, in the order of the import."""
    key = file.request_key(f"import into {bank_id}", plan.items.decode())
    path = f"/item-banks/{bank_id}/import"
    answer = await sign_in.send("POST", path, body=plan.items, idempotency_key=key)
    return {row.code: row.item_id for row in answer.read(_Imported).rows}


async def _draft(sign_in: SignIn, plan: ExamPlan, file: StateFile, item_ids: dict[str, str]) -> str:
    body = {**plan.exam, "items": [{"item_id": item_id} for item_id in item_ids.values()]}
    key = file.request_key("draft", body)
    answer = await sign_in.send("POST", "/exams", body=body, idempotency_key=key)
    return answer.read(_Exam).exam_id


async def _publish(sign_in: SignIn, exam_id: str) -> PublishedExam:
    # Publishing what is published changes nothing, so this also asks whether the exam is there.
    answer = await sign_in.send("POST", f"/exams/{exam_id}/publish")
    return PublishedExam(exam_id, answer.consistency_token)
