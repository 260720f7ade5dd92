"""An adaptive exam with everything in one process, engine included, as `megacity serve all` runs it."""

from domain.attempts.events import AttemptScored
from tests.support.adaptive_api import Sitting, adaptive_exam


def test_an_examinee_goes_from_the_first_item_to_the_last_without_ever_asking_again(api, school):
    exam = adaptive_exam(school)
    sitting = Sitting.start(school.student(), exam)
    for _ in range(5):
        given = sitting.answer("2")
        # On a machine that is busy the engine may come late: then the client asks where it is told to.
        if given.status_code == 202:
            sitting.next = sitting.ask(wait_s=20).json()
    assert (sitting.next["status"], sitting.next["step"]) == ("finished", 5)
    assert isinstance(api.events(sitting.attempt_id)[-1], AttemptScored)
