"""What the `eventsourcing` library asks for when `PERSISTENCE_MODULE` is `infra.event_store.persistence`.

`MEGACITY_EVENT_LOG_CONNINFO` names the database, `MEGACITY_EVENT_LOG_POOL_SIZE` how many connections.
Tables come from our migrations; the library creates none.
"""

from typing import Any

from eventsourcing import persistence as library
from eventsourcing.utils import Environment, EnvType

from infra.event_store.recorder import LogRecorder, LogStore, SnapshotRecorder

CONNINFO = "MEGACITY_EVENT_LOG_CONNINFO"
POOL_SIZE = "MEGACITY_EVENT_LOG_POOL_SIZE"


class LogFactory(library.InfrastructureFactory[library.TrackingRecorder]):
    """Recorders over our log. Positions of readers are projections' checkpoints, so it tracks none."""

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        conninfo = self.env.get(CONNINFO)
        if not conninfo:
            raise library.InfrastructureFactoryError(f"{CONNINFO} is not set")
        self._store = LogStore(conninfo, int(self.env.get(POOL_SIZE) or 4))

    def aggregate_recorder(self, purpose: str = "events") -> library.AggregateRecorder:
        return SnapshotRecorder(self._store) if purpose == "snapshots" else LogRecorder(self._store)

    def application_recorder(self) -> library.ApplicationRecorder:
        return LogRecorder(self._store)

    def tracking_recorder(self, tracking_recorder_class: type[Any] | None = None) -> Any:  # noqa: ARG002
        raise library.NotSupportedError("what follows the log keeps its position in ops, by our projections")

    def process_recorder(self) -> library.ProcessRecorder:
        raise library.NotSupportedError("what follows the log keeps its position in ops, by our projections")

    def close(self) -> None:
        self._store.close()
