"""An exam that is made step by step goes on from the last step that was done, without the server's help."""

import asyncio

import pytest

from infra.sample.api_client import Answer, ApiRefused, PlayStopped
from infra.sample.authoring import ExamPlan, author_exam
from infra.sample.state_file import open_state

PLAN = ExamPlan(bank={"name": "Bank"}, items=b'{"items": []}', exam={"title": {"en": "Exam"}})
STEPS = ["/item-banks", "/item-banks/bank-1/import", "/exams", "/exams/exam-1/publish"]


class Server:
    """Keeps no idempotency keys: as ours after 24 hours."""

    def __init__(self, number=1):
        self.number = number
        self.asked = []
        self.stops_at = None

    async def send(self, method, path, *, body=None, idempotency_key=None):
        del method, body, idempotency_key
        self.asked.append(path)
        if path == self.stops_at:
            raise PlayStopped("the plug was pulled")
        if path == "/item-banks":
            return self.answer(f'{{"bank_id": "bank-{self.number}"}}')
        if path == "/exams":
            return self.answer(f'{{"exam_id": "exam-{self.number}"}}')
        if f"-{self.number}/" not in path:
            raise ApiRefused("POST", path, 404, "not-found", "There is no such thing.")
        return self.answer('{"rows": [{"code": "q", "item_id": "item-1"}]}')

    def answer(self, body):
        return Answer(body.encode(), "token")


def author(server, folder):
    return asyncio.run(author_exam(server, PLAN, open_state(folder, "exam"))).exam_id


@pytest.mark.parametrize("done", range(4))
def test_a_step_that_was_done_is_not_done_again(tmp_path, done):
    server = Server()
    server.stops_at = STEPS[done]
    with pytest.raises(PlayStopped, match="plug"):
        author(server, tmp_path)
    assert server.asked == STEPS[: done + 1]
    server.asked, server.stops_at = [], None
    assert author(server, tmp_path) == "exam-1"
    assert server.asked == STEPS[done:]


@pytest.mark.parametrize("done", [1, 3])
def test_notes_about_another_database_are_forgotten(tmp_path, done):
    first = Server()
    first.stops_at = STEPS[done]
    with pytest.raises(PlayStopped):
        author(first, tmp_path)
    second = Server(number=2)
    assert author(second, tmp_path) == "exam-2"
    assert second.asked[1:] == [step.replace("-1", "-2") for step in STEPS]


def test_what_is_not_found_without_notes_is_told(tmp_path):
    server = Server(number=2)
    server.answer = lambda _: Answer(b'{"bank_id": "bank-1"}', None)
    with pytest.raises(ApiRefused, match="no such thing"):
        author(server, tmp_path)
