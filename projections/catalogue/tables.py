"""The tables of the catalogue, and the rows that single events make."""

from typing import Any

import msgspec

from domain.events import RecordedEvent
from domain.exams.events import Blueprint
from domain.items.content import ItemContent
from domain.items.events import ItemBankCreated, ItemCreated, ItemRevised
from projections.rows import Row, Table, owner_of

ITEM_BANKS = Table(
    "item_banks",
    key=("bank_id",),
    columns={
        "bank_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "name": "text",
        "description": "text",
        "created_at": "timestamptz",
        "version": "bigint",
    },
)
ITEM_VERSIONS = Table(
    "item_versions",
    key=("item_id", "item_version"),
    columns={
        "item_id": "text",
        "item_version": "bigint",
        "bank_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "code": "text",
        "kind": "text",
        "content_area": "text",
        "points": "bigint",
        "public": "jsonb",
        "newest": "boolean",
        "created_at": "timestamptz",
        "version": "bigint",
    },
)
ITEM_KEYS = Table(
    "item_keys",
    key=("item_id", "item_version"),
    columns={
        "item_id": "text",
        "item_version": "bigint",
        "zone_id": "text",
        "org_id": "text",
        "key": "jsonb",
        "explanation": "jsonb",
        "irt": "jsonb",
    },
)
EXAMS = Table(
    "exams",
    key=("exam_id",),
    columns={
        "exam_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "status": "text",
        "title": "jsonb",
        "description": "jsonb",
        "time_limit_s": "bigint",
        "opens_at": "timestamptz",
        "closes_at": "timestamptz",
        "attempts_allowed": "bigint",
        "release": "text",
        "audience": "text",
        "item_count": "bigint",
        "max_score": "numeric",
        "results_released": "boolean",
        "drafted_at": "timestamptz",
        "published_at": "timestamptz",
        "closed_at": "timestamptz",
        "version": "bigint",
        "delivery": "text",
        "bank_id": "text",
        "bank_version": "bigint",
        "author_id": "text",
    },
)
EXAM_ITEMS = Table(
    "exam_items",
    key=("exam_id", "ordinal"),
    columns={
        "exam_id": "text",
        "ordinal": "bigint",
        "item_id": "text",
        "item_version": "bigint",
        "zone_id": "text",
        "org_id": "text",
        "parameters": "jsonb",
    },
)
ADAPTIVE_EXAMS = Table(
    "adaptive_exams",
    key=("exam_id",),
    columns={
        "exam_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "rules": "jsonb",
        "pool_size": "bigint",
    },
)


def bank_row(recorded: RecordedEvent, event: ItemBankCreated) -> Row:
    return {
        "bank_id": recorded.stream_id,
        **owner_of(recorded),
        "name": event.name,
        "description": event.description,
        "created_at": recorded.metadata.recorded_at,
        "version": recorded.version,
    }


def item_version_of(event: ItemCreated | ItemRevised) -> int:
    return 1 if isinstance(event, ItemCreated) else event.item_version


def item_rows(recorded: RecordedEvent, event: ItemCreated | ItemRevised) -> tuple[Row, Row]:
    """The row that shows the item, and the row that holds its key."""
    content = event.content
    version = {"item_id": recorded.stream_id, "item_version": item_version_of(event)}
    shown = {
        **version,
        "bank_id": event.bank_id,
        **owner_of(recorded),
        "code": event.code,
        "kind": str(type(content).__struct_config__.tag),
        "content_area": content.content_area,
        "points": content.points,
        "public": _public(content),
        "newest": True,
        "created_at": recorded.metadata.recorded_at,
        "version": recorded.version,
    }
    kept_back = {
        **version,
        **owner_of(recorded),
        "key": msgspec.to_builtins(content.key),
        "explanation": content.explanation,
        "irt": None if content.irt is None else msgspec.to_builtins(content.irt),
    }
    return shown, kept_back


def exam_row(recorded: RecordedEvent) -> Row:
    """An exam of which nothing is known but that it exists, and who wrote its first event."""
    actor = recorded.metadata.actor
    return {
        "exam_id": recorded.stream_id,
        **owner_of(recorded),
        "status": "draft",
        "results_released": False,
        "drafted_at": None,
        "published_at": None,
        "closed_at": None,
        "author_id": actor.id if actor.kind == "user" else None,
    }


def blueprint_columns(blueprint: Blueprint) -> dict[str, Any]:
    rules, pool = blueprint.adaptive, blueprint.pool
    return {
        "title": blueprint.title,
        "description": blueprint.description,
        "time_limit_s": blueprint.time_limit_s,
        "opens_at": blueprint.opens_at,
        "closes_at": blueprint.closes_at,
        "attempts_allowed": blueprint.attempts_allowed,
        "release": blueprint.release,
        "audience": blueprint.audience,
        "item_count": len(blueprint.items) if rules is None else rules.max_items,
        "delivery": "fixed" if rules is None else "adaptive",
        "bank_id": None if pool is None else pool.bank_id,
        "bank_version": None if pool is None else pool.bank_version,
    }


def exam_item_rows(recorded: RecordedEvent, blueprint: Blueprint) -> list[Row]:
    pinned = _pinned_parameters(blueprint)
    return [
        {
            "exam_id": recorded.stream_id,
            "ordinal": ordinal,
            "item_id": item.item_id,
            "item_version": item.item_version,
            **owner_of(recorded),
            "parameters": parameters,
        }
        for ordinal, (item, parameters) in enumerate(zip(blueprint.items, pinned, strict=True), 1)
    ]


def adaptive_exam_rows(recorded: RecordedEvent, blueprint: Blueprint) -> list[Row]:
    """One row, or none of a fixed exam."""
    if blueprint.adaptive is None:
        return []
    return [
        {
            "exam_id": recorded.stream_id,
            **owner_of(recorded),
            "rules": msgspec.to_builtins(blueprint.adaptive),
            "pool_size": len(blueprint.items),
        }
    ]


def _pinned_parameters(blueprint: Blueprint) -> list[dict[str, float] | None]:
    if blueprint.pool is None:
        return [None] * len(blueprint.items)
    return [
        None if item.parameters is None else dict(zip("abcd", item.parameters, strict=True))
        for item in blueprint.pool.items
    ]


def _public(content: ItemContent) -> dict[str, Any]:
    """What an examinee sees of an item: named one by one, so that nothing slips in with a new field."""
    options = getattr(content, "options", None)
    return {
        "stem": content.stem,
        "options": None if options is None else msgspec.to_builtins(options),
    }
