"""Writing items one by one, and importing whole files: all rows or none, and never twice."""

import asyncio

import pytest

from commands.import_items import ImportedRow, ImportItems, ImportRow, RowError, RowsRefused, import_items
from commands.kinds import ITEM
from commands.write_items import (
    ITEM_CODE_SCOPE,
    CreateItem,
    CreateItemBank,
    ReviseItem,
    create_item_bank,
    create_new_item,
    item_code_key,
    revise,
)
from domain.errors import StaleVersion
from domain.identifiers import stream_id
from domain.items.bank import ItemBankNotFound
from domain.items.events import ItemBankCreated, ItemCreated, ItemRevised
from domain.items.item import ItemExists, ItemNotFound, UnusableItem
from tests.support.exam_parts import BANK_ID, OTHER_SCHOOL, SCHOOL, STUDENT, choice, numeric, short_text
from tests.support.memory import World


@pytest.fixture
def world():
    """A school with an empty bank."""
    world = World()
    world.record(BANK_ID, ItemBankCreated(name="수학"))
    return world


def row(number, code, content, *errors):
    return ImportRow(row=number, code=code, content=content, errors=errors)


def rows_of(*codes_and_contents):
    return [row(number, *each) for number, each in enumerate(codes_and_contents, 1)]


FILE = rows_of(("m-1", numeric("1")), ("m-2", choice()), ("m-3", short_text()))


async def run_import(world, rows=FILE, *, dry_run=False, context=None, bank_id=BANK_ID, write=None):
    return await import_items(
        write or world.write,
        context or world.teacher(),
        ImportItems(bank_id=bank_id, rows=tuple(rows), dry_run=dry_run),
    )


def statuses(report):
    return [(each.code, each.status, each.item_version) for each in report]


def items(world):
    return {
        world.log.events(item_id)[0].code: world.log.events(item_id) for item_id in world.log.streams("item")
    }


# -- one by one ----------------------------------------------------------------------------------------------


async def test_a_bank_belongs_to_the_school_of_whoever_makes_it_and_is_made_once(world):
    context = world.teacher()

    outcome = await create_item_bank(
        world.write, context, CreateItemBank(org_id=SCHOOL, name="국어", description="2026")
    )

    assert outcome.stream_id == stream_id("item_bank", context.command_id)
    assert outcome.events == (ItemBankCreated(name="국어", description="2026"),)
    assert outcome.owner.org_id == SCHOOL
    with pytest.raises(ItemBankNotFound):
        await create_item_bank(world.write, context, CreateItemBank(org_id=OTHER_SCHOOL, name="x"))


async def test_an_item_is_written_into_a_bank(world):
    outcome = await create_new_item(
        world.write, world.teacher(), CreateItem(bank_id=BANK_ID, code="m-1", content=numeric())
    )

    assert outcome.events == (ItemCreated(bank_id=BANK_ID, code="m-1", content=numeric()),)
    assert outcome.owner.org_id == SCHOOL


async def test_a_code_stands_for_one_item_of_a_bank(world):
    first = await create_new_item(
        world.write, world.teacher(), CreateItem(bank_id=BANK_ID, code="m-1", content=numeric())
    )

    with pytest.raises(ItemExists) as refusal:
        await create_new_item(
            world.write, world.teacher(), CreateItem(bank_id=BANK_ID, code="m-1", content=choice())
        )

    assert refusal.value.data() == {"item_code": "m-1", "item_id": first.stream_id}
    other_bank = world.fresh_id("item_bank")
    world.record(other_bank, ItemBankCreated(name="x"))
    assert await create_new_item(
        world.write, world.teacher(), CreateItem(bank_id=other_bank, code="m-1", content=numeric())
    )


async def test_of_many_who_write_the_same_code_at_once_one_does(world):
    outcomes = await asyncio.gather(
        *(
            create_new_item(
                world.write, world.teacher(), CreateItem(bank_id=BANK_ID, code="m-1", content=numeric(str(n)))
            )
            for n in range(32)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(each, ItemExists) for each in outcomes) == 31
    assert [len(events) for events in items(world).values()] == [1]


async def test_a_crash_between_claim_and_append_does_not_block_the_code(world):
    create = CreateItem(bank_id=BANK_ID, code="m-1", content=numeric())
    world.log.fail_before_the_next_append(ConnectionError("the process was killed"))
    with pytest.raises(ConnectionError):
        await create_new_item(world.write, world.teacher(), create)

    assert (await create_new_item(world.write, world.teacher(), create)).version == 1


async def test_an_unusable_item_is_not_written(world):
    with pytest.raises(UnusableItem):
        await create_new_item(
            world.write, world.teacher(), CreateItem(bank_id=BANK_ID, code="m-1", content=numeric("x"))
        )

    assert items(world) == {}


@pytest.mark.parametrize("bank_id", ["", STUDENT, BANK_ID[:-1] + "f"])
async def test_there_is_no_writing_into_a_bank_that_does_not_exist(world, bank_id):
    with pytest.raises(ItemBankNotFound):
        await create_new_item(
            world.write, world.teacher(), CreateItem(bank_id=bank_id, code="m-1", content=numeric())
        )
    with pytest.raises(ItemBankNotFound):
        await run_import(world, bank_id=bank_id)


async def test_the_items_of_another_school_are_neither_seen_nor_touched(world):
    item = await create_new_item(
        world.write, world.teacher(), CreateItem(bank_id=BANK_ID, code="m-1", content=numeric())
    )

    for stranger in (world.teacher(OTHER_SCHOOL), world.student()):
        with pytest.raises(ItemBankNotFound):
            await create_new_item(
                world.write, stranger, CreateItem(bank_id=BANK_ID, code="m-2", content=numeric())
            )
        with pytest.raises(ItemNotFound):
            await revise(world.write, stranger, ReviseItem(item_id=item.stream_id, content=choice()))
        for dry_run in (True, False):
            with pytest.raises(ItemBankNotFound):
                await run_import(world, context=stranger, dry_run=dry_run)
    assert len(world.log.streams("item")) == 1


async def test_an_edit_makes_a_version_unless_somebody_was_faster(world):
    item_id = (
        await create_new_item(
            world.write, world.teacher(), CreateItem(bank_id=BANK_ID, code="m-1", content=numeric("1"))
        )
    ).stream_id

    outcome = await revise(
        world.write, world.teacher(), ReviseItem(item_id=item_id, content=numeric("2"), expected_version=1)
    )

    assert outcome.events == (ItemRevised(bank_id=BANK_ID, code="m-1", item_version=2, content=numeric("2")),)
    with pytest.raises(StaleVersion):
        await revise(
            world.write,
            world.teacher(),
            ReviseItem(item_id=item_id, content=numeric("3"), expected_version=1),
        )
    with pytest.raises(ItemNotFound):
        await revise(world.write, world.teacher(), ReviseItem(item_id=BANK_ID, content=numeric("3")))


# -- files ---------------------------------------------------------------------------------------------------


async def test_a_file_makes_an_item_of_each_row(world):
    report = await run_import(world)

    assert statuses(report) == [("m-1", "created", 1), ("m-2", "created", 1), ("m-3", "created", 1)]
    assert items(world) == {
        each.code: [ItemCreated(bank_id=BANK_ID, code=each.code, content=each.content)] for each in FILE
    }
    assert {each.item_id for each in report} == set(world.log.streams("item"))
    assert {recorded.metadata.org_id for recorded in world.log.all} == {SCHOOL}


async def test_the_same_file_twice_changes_nothing(world):
    first = await run_import(world)
    before = list(world.log.all)

    for write in (world.write, world.another_process()):
        again = await run_import(world, write=write)
        assert statuses(again) == [("m-1", "unchanged", 1), ("m-2", "unchanged", 1), ("m-3", "unchanged", 1)]
        assert [each.item_id for each in again] == [each.item_id for each in first]
    assert world.log.all == before


async def test_a_changed_file_changes_what_differs_and_adds_what_is_new(world):
    await run_import(world)

    changed = rows_of(("m-4", numeric("4")), ("m-2", choice()), ("m-1", numeric("1.5")))
    report = await run_import(world, changed)

    assert statuses(report) == [("m-4", "created", 1), ("m-2", "unchanged", 1), ("m-1", "revised", 2)]
    assert items(world)["m-1"][-1] == ItemRevised(
        bank_id=BANK_ID, code="m-1", item_version=2, content=numeric("1.5")
    )
    assert [len(items(world)[code]) for code in ("m-1", "m-2", "m-3", "m-4")] == [2, 1, 1, 1]


WRONG = [
    pytest.param(row(2, "m-2", numeric("x", "y")), ["not-a-decimal", "not-a-tolerance"], id="unusable item"),
    pytest.param(row(2, "m-2", None, RowError("/kind", "missing", "?")), ["missing"], id="unreadable item"),
    pytest.param(row(2, None, choice(), RowError("/code", "missing", "?")), ["missing"], id="no code"),
    pytest.param(row(2, "m-1", choice()), ["duplicate-code"], id="code twice"),
    pytest.param(row(2, "m-1", numeric("x")), ["not-a-decimal", "duplicate-code"], id="both"),
]


@pytest.mark.parametrize(("wrong", "codes"), WRONG)
async def test_one_wrong_row_keeps_the_whole_file_out(world, wrong, codes):
    with pytest.raises(RowsRefused) as refusal:
        await run_import(world, [FILE[0], wrong, FILE[2]])

    [refused] = refusal.value.data()["rows"]
    assert (refused["row"], refused["code"], refused["status"]) == (2, wrong.code, "invalid")
    assert [error["code"] for error in refused["errors"]] == codes
    assert items(world) == {}
    assert world.claims.held == {}


async def test_every_wrong_row_is_told(world):
    with pytest.raises(RowsRefused) as refusal:
        await run_import(
            world, rows_of(("a", numeric("x")), ("b", choice()), ("a", choice()), ("b", choice()))
        )

    assert [(each["row"], each["errors"][0]["detail"]) for each in refusal.value.data()["rows"]] == [
        (1, "The key is not a decimal number."),
        (3, "Row 1 has this code too."),
        (4, "Row 2 has this code too."),
    ]


@pytest.mark.parametrize(("wrong", "codes"), WRONG)
async def test_a_dry_run_tells_what_would_become_of_each_row_and_writes_nothing(world, wrong, codes):
    await run_import(world, FILE[:1])
    before, claims = list(world.log.all), dict(world.claims.held)

    report = await run_import(world, [FILE[0], wrong, FILE[2]], dry_run=True)

    assert statuses(report) == [("m-1", "unchanged", 1), (wrong.code, "invalid", None), ("m-3", "created", 1)]
    assert [error.code for error in report[1].errors] == codes
    assert (world.log.all, world.claims.held) == (before, claims)


async def test_a_dry_run_knows_what_would_be_revised(world):
    created = await run_import(world)

    report = await run_import(world, rows_of(("m-1", numeric("2"))), dry_run=True)

    assert report == [
        ImportedRow(
            row=1, code="m-1", status="revised", item_id=created[0].item_id, item_version=2, version=2
        )
    ]
    assert len(items(world)["m-1"]) == 1


async def test_after_a_dry_run_the_import_does_what_it_said(world):
    told = await run_import(world, dry_run=True)

    done = await run_import(world)

    assert statuses(told) == statuses(done)
    assert [each.item_id for each in told] == [None, None, None]


async def test_a_crash_in_the_middle_of_an_import_leaves_nothing_and_blocks_nothing(world):
    world.log.fail_before_the_next_append(ConnectionError("the process was killed"))
    with pytest.raises(ConnectionError):
        await run_import(world)
    assert items(world) == {}

    assert statuses(await run_import(world, dry_run=True)) == [
        ("m-1", "created", 1),
        ("m-2", "created", 1),
        ("m-3", "created", 1),
    ]
    report = await run_import(world)

    assert [each.status for each in report] == ["created"] * 3
    assert [each.version for each in report] == [1, 1, 1]
    assert [each.item_id for each in report] == [
        world.claims.held[ITEM_CODE_SCOPE, item_code_key(BANK_ID, each.code)] for each in FILE
    ]


@pytest.mark.parametrize("processes", [1, 3])
async def test_the_same_file_imported_many_times_at_once_is_imported_once(world, processes):
    writing = [world.another_process() for _ in range(processes)]

    reports = await asyncio.gather(*(run_import(world, write=writing[n % processes]) for n in range(16)))

    assert [len(events) for events in items(world).values()] == [1, 1, 1]
    assert (
        sorted(each.status for report in reports for each in report) == ["created"] * 3 + ["unchanged"] * 45
    )


async def test_different_files_at_once_that_share_rows_are_all_imported(world):
    files = [rows_of(*((f"c-{(n + k) % 8}", numeric(str((n + k) % 8))) for k in range(4))) for n in range(8)]

    reports = await asyncio.gather(*(run_import(world, file) for file in files))

    assert sorted(items(world)) == [f"c-{n}" for n in range(8)]
    assert {len(events) for events in items(world).values()} == {1}
    assert sum(each.status == "created" for report in reports for each in report) == 8


async def test_an_item_edited_during_an_import_gets_both_versions(world):
    item_id = (await run_import(world, FILE[:1]))[0].item_id

    _, report = await asyncio.gather(
        revise(world.another_process(), world.teacher(), ReviseItem(item_id=item_id, content=numeric("7"))),
        run_import(world, rows_of(("m-1", numeric("8")))),
    )

    state = (await world.write.streams.read(ITEM, item_id)).state
    assert sorted(content.key.value for content in state.versions) == ["1", "7", "8"]
    assert [event.item_version for event in world.log.events(item_id)[1:]] == [2, 3]
    assert report[0].item_version in {2, 3}


async def test_an_empty_import_does_nothing(world):
    assert await run_import(world, []) == []
    assert items(world) == {}
