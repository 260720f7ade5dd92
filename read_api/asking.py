"""Who may ask, and for what: guards that several routes share."""

from typing import Annotated

from fastapi import Depends

from domain.errors import NotFound
from domain.exams.exam import ExamNotFound
from domain.identifiers import Category, category_of
from infra.http.guards import require_role
from infra.http.policy_wall import permitted
from infra.http.principal import Principal

STAFF_ROLES = ("teacher", "tutor", "org_admin", "service")
"""Who may look at an organisation's items and at other people's attempts; row-level security says whose."""

_staff = require_role(*STAFF_ROLES)
Staff = Annotated[Principal, Depends(_staff)]

results_of_exam = permitted("view_results", "exam", "exam_id", otherwise=ExamNotFound)
"""Guard of a route that shows results of the exam in its path: the rules in force permit it."""

results_for_staff = permitted("view_results", "exam", "exam_id", otherwise=ExamNotFound, inner=_staff)
"""The same where only staff may ask: who is none is told that first."""


def require_id(text: str, category: Category, otherwise: type[NotFound]) -> None:
    """Raises `otherwise` for what cannot be the id of anything: there is no such thing."""
    if category_of(text) != category:
        raise otherwise
