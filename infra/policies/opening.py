"""What decides about access in a process, put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from commands.ports import EventLog
from commands.streams import Streams
from domain.policies.policy_set import ActiveRule
from infra.policies.attributes import GatheredAttributes
from infra.policies.founding import founding_rules
from infra.policies.live import Decode, LivePolicies
from infra.policies.metrics import DecisionMetrics
from infra.policies.recorder import DecisionRecorder
from infra.policies.wall import PolicyWall


@dataclass(frozen=True, kw_only=True)
class AccessRules:
    """`loops` run as long as the process answers requests."""

    founding: Sequence[ActiveRule]
    policies: LivePolicies
    attributes: GatheredAttributes
    records: DecisionRecorder
    wall: PolicyWall

    @property
    def loops(self) -> Sequence[Callable[[], Any]]:
        return [self.policies.follow, self.records.follow]


async def open_access_rules(  # noqa: PLR0913 - all by name
    *,
    own_pool: AsyncConnectionPool[AsyncConnection[Any]],
    pool: AsyncConnectionPool[AsyncConnection[Any]],
    event_log: EventLog,
    decode: Decode,
    streams: Streams,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    registry: CollectorRegistry,
) -> AccessRules:
    """`own_pool` is for nobody else: a rule that takes access away waits for no request."""
    founding = founding_rules()
    policies = LivePolicies(own_pool, decode, clock=clock, founding=founding)
    # Before the first request: a process that has just begun knows what was taken away, too.
    await policies.refresh()
    attributes = GatheredAttributes(streams, pool, clock=clock)
    records = DecisionRecorder(event_log, DecisionMetrics.create(registry), clock=clock, new_id=new_id)
    wall = PolicyWall(policies=policies, attributes=attributes, records=records, streams=streams, clock=clock)
    records.counted_elsewhere.append(wall.passed)
    return AccessRules(
        founding=founding, policies=policies, attributes=attributes, records=records, wall=wall
    )
