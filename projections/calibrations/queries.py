"""Questions about the calibrations of an item bank. All rows are for staff alone."""

from typing import Any

from projections.queries import Connection, many, one


async def scale(connection: Connection, bank_id: str) -> dict[str, Any] | None:
    return await one(connection, "SELECT * FROM read.bank_scales WHERE bank_id = %s", [bank_id])


async def calibrations(
    connection: Connection, bank_id: str, *, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Newest first; `before` is the bank's version that one of them made."""
    return await many(
        connection,
        """
        SELECT * FROM read.calibrations
        WHERE bank_id = %(bank)s AND (%(before)s::bigint IS NULL OR version < %(before)s)
        ORDER BY version DESC LIMIT %(limit)s
        """,
        {"bank": bank_id, "before": before, "limit": limit},
    )


async def calibration(connection: Connection, bank_id: str, calibration_id: str) -> dict[str, Any] | None:
    return await one(
        connection,
        "SELECT * FROM read.calibrations WHERE calibration_id = %s AND bank_id = %s",
        [calibration_id, bank_id],
    )


async def calibrated_items(connection: Connection, calibration_id: str) -> list[dict[str, Any]]:
    """With their codes, in the calibration's order: operational items first."""
    return await many(
        connection,
        """
        SELECT c.item_id, c.item_version, v.code, c.role, c.proposal, c.found
        FROM read.calibrated_items c LEFT JOIN read.item_versions v USING (item_id, item_version)
        WHERE c.calibration_id = %s ORDER BY c.ordinal
        """,
        [calibration_id],
    )


async def promotions(connection: Connection, bank_id: str) -> list[dict[str, Any]]:
    """Each decision with its items, newest first."""
    return await many(
        connection,
        """
        SELECT p.bank_version, min(p.calibration_id) AS calibration_id, min(p.promoted_at) AS promoted_at,
               min(p.promoted_by) AS promoted_by, min(p.reason) AS reason, bool_and(p.automatic) AS automatic,
               jsonb_agg(jsonb_build_object(
                   'item_id', p.item_id, 'item_version', p.item_version, 'code', v.code,
                   'parameters', p.parameters) ORDER BY p.item_id) AS items
        FROM read.promoted_items p LEFT JOIN read.item_versions v USING (item_id, item_version)
        WHERE p.bank_id = %s GROUP BY p.bank_version ORDER BY p.bank_version DESC
        """,
        [bank_id],
    )


async def drift_alarms(connection: Connection, bank_id: str) -> list[dict[str, Any]]:
    """Newest first; settled is an alarm after which the item was given other parameters."""
    return await many(
        connection,
        """
        SELECT d.item_id, d.item_version, v.code, d.calibration_id, d.found_at, d.responses, d.used, d.drift,
               EXISTS (
                   SELECT FROM read.promoted_items p
                   WHERE p.bank_id = d.bank_id AND p.item_id = d.item_id
                     AND p.item_version = d.item_version AND p.parameters <> d.used
                     AND p.promoted_at > d.found_at
               ) AS settled
        FROM read.drift_alarms d LEFT JOIN read.item_versions v USING (item_id, item_version)
        WHERE d.bank_id = %s ORDER BY d.found_at DESC, d.calibration_id, d.ordinal
        """,
        [bank_id],
    )
