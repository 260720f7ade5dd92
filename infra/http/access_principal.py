"""Who asks, as the rules of access speak of them."""

import msgspec

from domain.policies.access import Principal as AccessPrincipal
from domain.policies.access import roles_of
from domain.zones import Role
from infra.http.principal import Principal


def of_token(principal: Principal) -> AccessPrincipal:
    """What the token itself says: the rest is not known."""
    return AccessPrincipal(
        id=principal.subject_id,
        roles=roles_of((msgspec.convert(grant.role, Role), grant.org_id) for grant in principal.roles),
        zone=principal.zone_id,
        organizations=principal.org_ids,
    )
