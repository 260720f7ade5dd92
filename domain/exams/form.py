"""A published form: the ordered items with the contents that were pinned."""

from collections.abc import Sequence

from domain.attempts.adaptive import AdaptiveTest
from domain.identifiers import StreamId
from domain.items.content import ItemContent


class PinnedItem:
    """One item of a form, in the version that was pinned."""

    __slots__ = ("content", "item_id", "item_version")

    def __init__(self, item_id: StreamId, item_version: int, content: ItemContent) -> None:
        self.item_id = item_id
        self.item_version = item_version
        self.content = content


class Form:
    """The items in order, found by id in constant time. It never changes.

    Of an adaptive exam the items are the pool, and `test` chooses among them.
    """

    def __init__(self, items: Sequence[PinnedItem], test: AdaptiveTest | None = None) -> None:
        self.items = tuple(items)
        self.test = test
        self._by_id = {item.item_id: item for item in self.items}

    def item(self, item_id: StreamId) -> PinnedItem | None:
        return self._by_id.get(item_id)
