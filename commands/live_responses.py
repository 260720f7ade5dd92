"""What examinees answered in the adaptive exams of a bank, as calibration needs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.identifiers import StreamId


class PresentedItem(msgspec.Struct, frozen=True):
    """An item version as one exam used it: the exam says with which parameters."""

    exam_id: StreamId
    item_id: StreamId
    item_version: int


@dataclass(frozen=True, eq=False, kw_only=True)
class LiveSittings:
    """n first attempts that are scored, the newest first, each with at most s responses in their order.

    presented: (n, s) index into `items`, -1 behind the last response. right: (n, s). exams: (n,) index into
    `exam_ids`. submitted_at: of the oldest and the newest; None where there are none.
    """

    items: Sequence[PresentedItem]
    exam_ids: Sequence[StreamId]
    presented: NDArray[np.int64]
    right: NDArray[np.bool_]
    exams: NDArray[np.int64]
    submitted_at: tuple[datetime, datetime] | None


class LiveResponses(Protocol):
    """The read side's record of adaptive tests. It may lag; a calibration is of what it shows."""

    async def of_bank(self, bank_id: StreamId, *, most: int) -> LiveSittings:
        """Of examinees' first attempts at published exams of the bank, the newest `most`."""
        ...

    async def banks(self) -> Sequence[StreamId]:
        """Banks whose items are used in adaptive exams."""
        ...

    async def attempts_since(self, bank_id: StreamId, since: datetime | None) -> int:
        """First attempts that were handed in after that, and are scored."""
        ...
