"""What can be counted of a zone, from the read models."""

from collections.abc import Mapping
from typing import Final, LiteralString

from domain.zones import ZoneId
from domain.zones.definitions import Measure
from infra.claims import Pool

_COUNTS: Final[Mapping[Measure, LiteralString]] = {
    "published_items": """SELECT count(DISTINCT i.item_id)
        FROM read.exam_items i JOIN read.exams e USING (exam_id)
        WHERE e.zone_id = %s AND e.status <> 'draft'""",
    "published_exams": "SELECT count(*) FROM read.exams WHERE zone_id = %s AND status <> 'draft'",
    "adaptive_exams": """SELECT count(*) FROM read.exams
        WHERE zone_id = %s AND status <> 'draft' AND delivery = 'adaptive'""",
    "tested_people": """SELECT count(DISTINCT examinee_id) FROM read.attempts
        WHERE zone_id = %s AND status <> 'in_progress'""",
}
"""The zone is that of the exam or the attempt, whichever organisation it belongs to."""


class ReadModelZoneMeasures:
    """`commands.zones.ZoneMeasures` over the read models, as the projector's role, which sees everything."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def count(self, zone_id: ZoneId, measure: Measure) -> int:
        async with self._pool.connection() as connection:
            found = await connection.execute(_COUNTS[measure], [zone_id])
            row = await found.fetchone()
            assert row is not None
            return int(row[0])
