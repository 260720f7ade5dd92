"""Publishes the sample exam through the API, for everybody in the zone."""

from pathlib import Path

from infra.sample.api_client import OnTrouble, as_person, open_api
from infra.sample.authoring import ExamPlan, author_exam
from infra.sample.content import SampleExam, load_sample_exam, sample_exam_json
from infra.sample.player import PATIENCE_S
from infra.sample.state_file import open_state

ATTEMPTS_ALLOWED = 3


async def publish_sample_exam(  # noqa: PLR0913 - where to and as whom; each is needed
    base_url: str,
    email: str,
    password: str,
    state_dir: Path,
    *,
    patience_s: float = PATIENCE_S,
    on_trouble: OnTrouble,
) -> str:
    """Writes the items as a teacher, publishes the exam and returns its id; a second time it only returns it.

    Raises `PlayStopped` with the reason when it cannot go on.
    """
    content = sample_exam_json()
    file = open_state(state_dir, "sample-exam", content.decode(), email)
    async with open_api(base_url, connections=1, patience_s=patience_s, on_trouble=on_trouble) as api:
        published = await author_exam(as_person(api, email, password), _plan(content), file)
    return published.exam_id


def _plan(content: bytes) -> ExamPlan:
    exam: SampleExam = load_sample_exam()
    title = {"ko": exam.title.ko, "en": exam.title.en}
    return ExamPlan(
        bank={"name": exam.title.en, "description": exam.description.en},
        items=content,
        exam={
            "title": title,
            "description": {"ko": exam.description.ko, "en": exam.description.en},
            "time_limit_s": exam.time_limit_s,
            "attempts_allowed": ATTEMPTS_ALLOWED,
            "audience": "zone",
            "release": "at_once",
        },
    )
