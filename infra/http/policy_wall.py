"""The wall of policies: what the rules in force say of a request, before its handler is asked.

Everybody who is signed in enters their zone with each request: every guard asks that. A route that is about
an action of the rules names it as one more guard:

    @router.post(
        "/exams/{exam_id}/attempts",
        dependencies=[Depends(permitted("take_exam", "exam", "exam_id", otherwise=ExamNotFound))],
    )

The rules are evaluated elsewhere: see `PolicyWall` in `infra.http.services` and `infra.policies.wall`.
"""

from fastapi import Request

from domain.errors import NotFound
from domain.policies.access import Action, ResourceKind
from infra.http.guards import Guard, authenticated
from infra.http.principal import Principal
from infra.http.services import services_of


class Permitted(Guard):
    """Whoever is signed in, and may do this to the resource in the path. Raises `PolicyForbids`.

    Raises `otherwise` for what does not exist, and for what is in a zone of which the asker is to know
    nothing.
    """

    def __init__(
        self, action: Action, kind: ResourceKind, path_parameter: str, otherwise: type[NotFound], inner: Guard
    ) -> None:
        super().__init__()
        self.action = action
        self.kind = kind
        self.path_parameter = path_parameter
        self.otherwise = otherwise
        self.inner = inner

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override] # whom it lets in
        principal = await self.inner(request)
        resource_id = request.path_params[self.path_parameter]
        known = await services_of(request).policy_wall.require(
            request, principal, self.action, self.kind, resource_id
        )
        if not known:
            raise self.otherwise
        return principal


def permitted(
    action: Action,
    kind: ResourceKind,
    path_parameter: str,
    *,
    otherwise: type[NotFound],
    inner: Guard = authenticated,
) -> Permitted:
    return Permitted(action, kind, path_parameter, otherwise, inner)
