"""Who may ask, and for what: guards that several routes share."""

from typing import Annotated

from fastapi import Depends

from domain.errors import NotFound
from domain.identifiers import Category, category_of
from infra.http.guards import require_role
from infra.http.principal import Principal

STAFF_ROLES = ("teacher", "tutor", "org_admin", "service")
"""Who may look at an organisation's items and at other people's attempts; row-level security says whose."""

Staff = Annotated[Principal, Depends(require_role(*STAFF_ROLES))]


def require_id(text: str, category: Category, otherwise: type[NotFound]) -> None:
    """Raises `otherwise` for what cannot be the id of anything: there is no such thing."""
    if category_of(text) != category:
        raise otherwise
