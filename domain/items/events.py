"""What happens to item banks and their items."""

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId
from domain.items.content import ItemContent


@event_type("item_bank.created", retention=Retention.STATE)
class ItemBankCreated(Event, frozen=True, kw_only=True):
    name: str
    description: str = ""


@event_type("item.created", retention=Retention.STATE)
class ItemCreated(Event, frozen=True, kw_only=True):
    """Version 1 of an item. `code` is its author's name for it, unique in the bank."""

    bank_id: StreamId
    code: str
    content: ItemContent


@event_type("item.revised", retention=Retention.STATE)
class ItemRevised(Event, frozen=True, kw_only=True):
    """A new version of an item; the older ones stay as they are, and forms keep what they pinned."""

    bank_id: StreamId
    code: str
    item_version: int
    content: ItemContent
