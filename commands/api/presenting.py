"""What comes next in an adaptive test, as the examinee sees it: nothing that tells the key."""

from typing import Annotated, Literal, assert_never

from fastapi import Query
from pydantic import BaseModel, Field

from commands.kinds import USER
from commands.next_item import Deciding, Finished, Next, ToAnswer
from commands.write_side import WriteSide
from domain.exams.form import PinnedItem
from domain.identifiers import StreamId
from domain.items.content import ItemContent, MultipleChoice, MultipleResponse, Numeric, ShortText
from domain.languages import LANGUAGES, Language, in_language
from domain.users.account import Registered

ItemKind = Literal["multiple_choice", "multiple_response", "numeric", "short_text"]

AskedLanguage = Annotated[
    Language | None, Query(description="Of the item's text. Default: the examinee's own language.")
]


class PresentedOption(BaseModel):
    id: str = Field(examples=["3"])
    text: str


class PresentedItem(BaseModel):
    item_id: str
    item_version: int
    kind: ItemKind
    points: int
    language: Language = Field(description="Another than the one asked for where there is no such text.")
    stem: str
    options: list[PresentedOption] | None = Field(description="Null for items without options.")


class NextItem(BaseModel):
    status: Literal["item", "deciding", "finished"] = Field(
        description="There is an item to answer; the engine decides yet (ask again); the test is over."
    )
    step: int = Field(
        description="The place in the test, from 1, of the item or of the one that is decided about; when it "
        "is finished, how many items there were."
    )
    item: PresentedItem | None


async def shown_next(
    write: WriteSide, found: Next, examinee_id: StreamId, language: Language | None
) -> NextItem:
    match found:
        case ToAnswer():
            wanted = language or await _own_language(write, examinee_id)
            return NextItem(status="item", step=found.step, item=_presented(found.item, wanted))
        case Deciding():
            return NextItem(status="deciding", step=found.step, item=None)
        case Finished():
            return NextItem(status="finished", step=found.step, item=None)
        case _:
            assert_never(found)


async def _own_language(write: WriteSide, user_id: StreamId) -> Language:
    account = (await write.streams.peek(USER, user_id)).state
    return account.language if isinstance(account, Registered) else LANGUAGES[0]


def _presented(pinned: PinnedItem, wanted: Language) -> PresentedItem:
    content = pinned.content
    language, stem = in_language(content.stem, wanted)
    return PresentedItem(
        item_id=pinned.item_id,
        item_version=pinned.item_version,
        kind=_kind(content),
        points=content.points,
        language=language,
        stem=stem,
        options=_options(content, language),
    )


def _options(content: ItemContent, language: Language) -> list[PresentedOption] | None:
    """Every option has a text in each language of the stem."""
    if not isinstance(content, MultipleChoice | MultipleResponse):
        return None
    return [
        PresentedOption(id=option.id, text=in_language(option.text, language)[1])
        for option in content.options
    ]


def _kind(content: ItemContent) -> ItemKind:
    match content:
        case MultipleChoice():
            return "multiple_choice"
        case MultipleResponse():
            return "multiple_response"
        case Numeric():
            return "numeric"
        case ShortText():
            return "short_text"
        case _:
            assert_never(content)
