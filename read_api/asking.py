"""Who may ask, and for what: guards and ids that several routes share."""

from typing import Annotated

from fastapi import Depends, Path

from domain.errors import NotFound
from domain.identifiers import Category, category_of
from infra.http.guards import require_role
from infra.http.principal import Principal

STAFF_ROLES = ("teacher", "tutor", "org_admin", "service")
"""Who may look at an organisation's items and at other people's attempts; row-level security says whose."""

Staff = Annotated[Principal, Depends(require_role(*STAFF_ROLES))]

_UUID = "01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"

ExamId = Annotated[str, Path(description="Id of the exam.", examples=[f"exam-{_UUID}"])]
AttemptId = Annotated[str, Path(description="Id of the attempt.", examples=[f"attempt-{_UUID}"])]
BankId = Annotated[str, Path(description="Id of the item bank.", examples=[f"item_bank-{_UUID}"])]
ItemId = Annotated[str, Path(description="Id of the item.", examples=[f"item-{_UUID}"])]


def require_id(text: str, category: Category, otherwise: type[NotFound]) -> None:
    """Raises `otherwise` for what cannot be the id of anything: there is no such thing."""
    if category_of(text) != category:
        raise otherwise
