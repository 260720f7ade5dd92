"""Rosters as one table: encodings, names of columns, and what is wrong with single rows."""

import pytest

from commands.roster.reading import read_table
from commands.roster.roster import MAX_ROWS, RosterPerson, UnreadableRoster
from tests.support.rosters import KOREAN, a_table, csv_text

ROWS = [
    ("2026-01", "김민지", "ko", "1-A", "학생", ""),
    ("t-1", "박하준", "", "1-A", "교사", "hj@example.org"),
]
PEOPLE = (
    RosterPerson(
        row=2, external_ref="2026-01", display_name="김민지", language="ko", role="student", classes=("1-A",)
    ),
    RosterPerson(
        row=3,
        external_ref="t-1",
        display_name="박하준",
        role="teacher",
        classes=("1-A",),
        email="hj@example.org",
    ),
)


def faults(*rows, header=("external_ref", "display_name", "class")):
    return [(each.row, each.column, each.code) for each in read_table(a_table(*rows, header=header)).faults]


def refused(body, encoding=None):
    with pytest.raises(UnreadableRoster) as refusal:
        read_table(body, encoding)
    return refusal.value.reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_a_korean_file_is_read_in_each_encoding_that_schools_use(encoding):
    roster = read_table(csv_text(KOREAN, ROWS).encode(encoding))
    assert roster.people == PEOPLE
    assert (roster.faults, roster.rows, roster.classes) == ((), 2, {"1-A": "1-A"})


@pytest.mark.parametrize(
    "header",
    [
        ("external_ref", "display_name"),
        ("External Ref", "Display-Name"),
        ("학번", "성명"),
        ("ID", "Name"),
        ("display_name", "external_ref"),
    ],
)
def test_columns_are_known_by_several_names_in_any_order(header):
    row = ("1", "민지") if header[0] != "display_name" else ("민지", "1")
    [person] = read_table(a_table(row, header=header)).people
    assert (person.external_ref, person.display_name, person.role, person.language) == (
        "1",
        "민지",
        "student",
        None,
    )


def test_a_name_of_syllables_that_only_cp949_has_stays_what_it_is():
    [person] = read_table(csv_text(KOREAN[:2], [("1", "똠방각하 펲시콜라 쓩")]).encode("cp949")).people
    assert person.display_name == "똠방각하 펲시콜라 쓩"


def test_what_could_be_either_encoding_is_refused_until_it_is_said():
    body = csv_text(("id", "name"), [("1", "José")]).encode()
    assert "UTF-8 or CP949" in refused(body)
    [person] = read_table(body, "utf-8").people
    assert person.display_name == "José"
    assert read_table(b"\xef\xbb\xbf" + body).people == (person,)


def test_names_are_brought_to_one_form_of_unicode():
    [person] = read_table(a_table(("1", "민지", ""))).people
    assert person.display_name == "민지"


@pytest.mark.parametrize("name", ["=1+1", "+82 10", "-5", "@SUM(A1)", '=HYPERLINK("x")', "=cmd|'/c calc'!A1"])
def test_a_formula_is_a_text_like_any_other(name):
    [person] = read_table(a_table((name, name, name))).people
    assert (person.external_ref, person.display_name, person.classes) == (name, name, (name,))


def test_a_person_of_several_classes_has_a_row_for_each():
    roster = read_table(
        a_table(("1", "민지", "A"), ("2", "서연", "A"), ("1", "민지", "B"), ("3", "지우", ""))
    )
    assert [(each.external_ref, each.classes) for each in roster.people] == [
        ("1", ("A", "B")),
        ("2", ("A",)),
        ("3", ()),
    ]
    assert roster.faults == ()


def test_empty_lines_count_as_a_spreadsheet_counts_them():
    body = b"id,name\n\n1,\n,,\n\n2,ok\n"
    roster = read_table(body)
    assert [(each.row, each.column, each.code) for each in roster.faults] == [
        (3, "name", "missing"),
    ]
    assert [each.row for each in roster.people] == [6]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("", "민지", "A"), (2, "external_ref", "missing")),
        (("1", "  ", "A"), (2, "display_name", "missing")),
        (("1" * 101, "민지", "A"), (2, "external_ref", "too-long")),
        (("1", "민" * 101, "A"), (2, "display_name", "too-long")),
        (("1", "민지", "A" * 101), (2, "class", "too-long")),
        (("1", "민\x00지", "A"), (2, "display_name", "unsafe-text")),
        (("1", "민\n지", "A"), (2, "display_name", "unsafe-text")),
        (("1", "민지"), (2, "", "ragged-row")),
        (("1", "민지", "A", "B"), (2, "", "ragged-row")),
    ],
)
def test_a_wrong_cell_is_told_with_its_row_and_column_and_the_others_are_right(row, fault):
    header = ("external_ref", "display_name", "class")
    roster = read_table(a_table(row, ("2", "서연", "A"), header=header))
    assert [(each.row, each.column, each.code) for each in roster.faults] == [fault]
    assert [each.external_ref for each in roster.people] == ["2"]


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("role", "principal", "unknown-role"),
        ("role", "org_admin", "unknown-role"),
        ("role", "sys_admin", "unknown-role"),
        ("language", "tlh", "unknown-language"),
        ("email", "minji", "not-an-email"),
        ("email", "a b@example.org", "not-an-email"),
        ("email", "a@example", "not-an-email"),
    ],
)
def test_a_value_that_nobody_knows_is_a_fault(column, value, code):
    assert faults(("1", "민지", value), header=("id", "name", column)) == [(2, column, code)]


def test_all_that_is_wrong_with_a_row_is_told_at_once():
    assert faults(("", "", "x" * 101)) == [
        (2, "external_ref", "missing"),
        (2, "display_name", "missing"),
        (2, "class", "too-long"),
    ]


def test_rows_that_contradict_each_other_or_say_the_same_twice_are_faults():
    assert faults(("1", "민지", "A"), ("1", "서연", "B")) == [(3, "display_name", "contradiction")]
    assert faults(("1", "민지", "A"), ("1", "민지", "A")) == [(3, "external_ref", "duplicate")]
    assert faults(("1", "민지", "student"), ("1", "민지", "teacher"), header=("id", "name", "role")) == [
        (3, "role", "contradiction")
    ]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "names no columns"),
        (b"\n1,2\n", "names no columns"),
        (b"id\n1\n", "no column 'display_name'"),
        (b"name\n1\n", "no column 'external_ref'"),
        (b"id,name,shoe size\n", "'shoe size' is not known"),
        (b"id,name,Name\n", "stands twice"),
        (b'id,name\n1,"open\n', "not CSV"),
        (b"id,name\n1,\xff\xff\n", "neither UTF-8 nor CP949"),
        ("id,name\n1,민지\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04rest", "is not known"),
        ((",".join(f"c{n}" for n in range(101))).encode(), "100 columns"),
    ],
)
def test_a_table_that_is_wrong_as_a_whole_is_refused_with_its_reason(body, why):
    assert why in refused(body)


def test_an_encoding_that_was_said_and_is_not_so_is_refused():
    assert "neither" in refused(csv_text(KOREAN, ROWS).encode("cp949"), "utf-8")


def test_fifty_thousand_rows_are_taken_and_one_more_is_not():
    lines = "".join(f"{number},이름{number}\n" for number in range(MAX_ROWS))
    assert len(read_table(f"id,name\n{lines}".encode()).people) == MAX_ROWS
    assert f"more than {MAX_ROWS}" in refused(f"id,name\n{lines}more,one\n".encode())
