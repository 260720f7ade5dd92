"""An item, with all its versions."""

from typing import TypeAlias, assert_never

import msgspec

from domain.errors import IllegalState, Malformed, NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.items.content import ItemContent, faults_in
from domain.items.events import ItemCreated, ItemRevised


class Unwritten(msgspec.Struct, frozen=True):
    pass


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """`versions[0]` is version 1. A version never changes: an edit adds one."""

    bank_id: StreamId
    code: str
    versions: tuple[ItemContent, ...]

    @property
    def item_version(self) -> int:
        return len(self.versions)

    def content(self, item_version: int) -> ItemContent:
        """Raises `ItemVersionNotFound`."""
        if not 1 <= item_version <= len(self.versions):
            raise ItemVersionNotFound(item_version=item_version, newest=len(self.versions))
        return self.versions[item_version - 1]


ItemState: TypeAlias = Unwritten | Written


class ItemNotFound(NotFound):
    code = "item-not-found"
    title = "There is no such item"


class ItemVersionNotFound(NotFound):
    code = "item-version-not-found"
    title = "The item has no such version"


class ItemExists(IllegalState):
    code = "item-exists"
    title = "The bank has an item of this code already"


class UnusableItem(Malformed):
    """Carries `errors`, a list of pointer, code and detail."""

    code = "unusable-item"
    title = "The item cannot be used as it is"


def evolve_item(state: ItemState, event: Event) -> ItemState:
    match event:
        case ItemCreated():
            return Written(bank_id=event.bank_id, code=event.code, versions=(event.content,))
        case ItemRevised() if isinstance(state, Written):
            return msgspec.structs.replace(state, versions=(*state.versions, event.content))
        case _:
            return state


def create_item(state: ItemState, bank_id: StreamId, code: str, content: ItemContent) -> list[Event]:
    refuse_unusable(content)
    match state:
        case Unwritten():
            return [ItemCreated(bank_id=bank_id, code=code, content=content)]
        case Written():
            raise ItemExists(code_taken=code)
        case _:
            assert_never(state)


def revise_item(state: ItemState, content: ItemContent) -> list[Event]:
    """A new version; no event where the content is what the newest version says already."""
    refuse_unusable(content)
    match state:
        case Unwritten():
            raise ItemNotFound
        case Written():
            if state.versions[-1] == content:
                return []
            return [
                ItemRevised(
                    bank_id=state.bank_id,
                    code=state.code,
                    item_version=state.item_version + 1,
                    content=content,
                )
            ]
        case _:
            assert_never(state)


def refuse_unusable(content: ItemContent) -> None:
    """Raises `UnusableItem` with every fault there is."""
    faults = faults_in(content)
    if faults:
        raise UnusableItem(errors=[msgspec.to_builtins(fault) for fault in faults])
