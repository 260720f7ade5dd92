"""Rosters of any content: what is written is read, and whatever is sent is read or refused."""

import unicodedata

from hypothesis import example, given, settings
from hypothesis import strategies as st

from commands.roster.oneroster import read_oneroster
from commands.roster.reading import read_table
from commands.roster.roster import RosterPerson, UnreadableRoster
from tests.support.rosters import ENGLISH, KOREAN, archive, csv_text, oneroster_files

hangul = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
plain = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
anything = st.characters(exclude_categories=["Cc", "Cs"])


def cells(characters, max_size=20):
    # Brought to the form that it is kept in, so that what is read can be compared.
    return (
        st.text(characters, min_size=1, max_size=max_size)
        .map(lambda text: unicodedata.normalize("NFC", text).strip())
        .filter(lambda text: 0 < len(text) <= 100)
    )


def rosters(characters):
    person = st.builds(
        RosterPerson,
        row=st.just(0),
        external_ref=cells(characters),
        display_name=cells(characters),
        language=st.sampled_from(["ko", "en", "ja", "zh", None]),
        role=st.sampled_from(["student", "teacher"]),
        classes=st.lists(cells(characters), max_size=3, unique=True).map(tuple),
        email=st.sampled_from([None, "minji@example.org"]),
    )
    return st.lists(person, min_size=1, max_size=6, unique_by=lambda each: each.external_ref)


def written(people, header):
    rows = [
        (each.external_ref, each.display_name, each.language or "", in_class, each.role, each.email or "")
        for each in people
        for in_class in each.classes or ("",)
    ]
    return csv_text(header, rows)


def refused(read, *given):
    """Why it is refused; nothing where it is read."""
    try:
        read(*given)
    except UnreadableRoster as refusal:
        return refusal.detail()
    return None


def told(people):
    return [
        (each.external_ref, each.display_name, each.language, each.role, each.classes, each.email)
        for each in people
    ]


@given(rosters(anything), st.sampled_from([ENGLISH, KOREAN]), st.sampled_from(["utf-8", "utf-8-sig"]))
def test_what_is_written_in_utf_8_is_read(people, header, encoding):
    roster = read_table(written(people, header).encode(encoding), "utf-8")
    assert (told(roster.people), roster.faults) == (told(people), ())


@given(rosters(hangul | plain), st.sampled_from([ENGLISH, KOREAN]))
def test_korean_names_are_never_others_whether_or_not_the_encoding_is_said(people, header):
    text = written(people, header)
    for body, encoding in ((text.encode(), "utf-8"), (text.encode("cp949"), "cp949")):
        assert told(read_table(body, encoding).people) == told(people)
        reason = refused(read_table, body)
        if reason is None:
            assert told(read_table(body).people) == told(people)
        else:
            assert "UTF-8 or CP949" in reason
            # With a column named in Korean there is no doubt.
            assert header is ENGLISH


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf")
@example(b'id,name\n"')
@example(b"id,name\n\x00,\x00\n")
def test_any_bytes_are_read_or_refused(body):
    for read in (read_table, read_oneroster):
        assert refused(read, body) != ""


@given(st.text(max_size=200))
def test_any_text_below_a_good_header_is_rows_or_faults(text):
    try:
        roster = read_table(("external_ref,display_name,class\n" + text).encode("utf-8", "replace"), "utf-8")
    except UnreadableRoster:
        return
    assert roster.rows >= len(roster.people)
    assert {each.row for each in roster.people}.isdisjoint({each.row for each in roster.faults})


@settings(max_examples=200)
@given(st.data())
def test_a_spoilt_archive_is_read_or_refused(data):
    body = bytearray(archive(oneroster_files()))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    assert refused(read_oneroster, bytes(body)) != ""


@given(
    st.dictionaries(st.sampled_from(["users.csv", "classes.csv", "enrollments.csv"]), st.text(max_size=80))
)
def test_tables_of_an_archive_with_any_rows_are_read_or_refused(rows):
    files = oneroster_files()
    for name, text in rows.items():
        files[name] += text
    body = archive({name: text.encode("utf-8", "replace") for name, text in files.items()})
    assert refused(read_oneroster, body) != ""
