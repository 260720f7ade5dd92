"""OneRoster archives: two versions, rows that name each other, and archives that mean harm."""

import tracemalloc
import zipfile
from contextlib import suppress

import pytest

from commands.roster import archive as archive_module
from commands.roster.oneroster import read_oneroster
from commands.roster.roster import RosterPerson, UnreadableRoster
from tests.support.rosters import archive, csv_text, oneroster_files

PEOPLE = (
    RosterPerson(
        row=2,
        external_ref="u1",
        display_name="김민지",
        role="student",
        classes=("c1",),
        email="minji@example.org",
    ),
    RosterPerson(row=3, external_ref="u2", display_name="이서연", role="student", classes=("c1", "c2")),
    RosterPerson(row=4, external_ref="u3", display_name="Ada Lovelace", role="student"),
    RosterPerson(
        row=5,
        external_ref="t1",
        display_name="박하준",
        role="teacher",
        classes=("c1",),
        email="hajun@example.org",
    ),
)


def read(version="1.1", **changed):
    return read_oneroster(archive(oneroster_files(version, **changed)))


def refused(body):
    with pytest.raises(UnreadableRoster) as refusal:
        read_oneroster(body)
    return refusal.value.reason


def faults(**changed):
    return [(each.file, each.row, each.column, each.code) for each in read(**changed).faults]


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_both_versions_tell_the_same_school(version):
    roster = read(version)
    assert roster.people == PEOPLE
    assert roster.classes == {"c1": "1학년 1반", "c2": "1학년 2반"}
    assert (roster.faults, roster.rows, roster.skipped) == ((), 5, 1)


def test_the_files_may_lie_in_a_folder():
    files = {f"export/{name}": content for name, content in oneroster_files().items()}
    assert read_oneroster(archive(files)).people == PEOPLE


def test_a_user_who_is_not_enabled_is_passed_over():
    users = csv_text(
        ["sourcedId", "enabledUser", "orgSourcedIds", "role", "givenName", "familyName"],
        [("u1", "false", "s1", "student", "민지", "김"), ("u2", "true", "s1", "student", "서연", "이")],
    )
    enrollments = csv_text(["classSourcedId", "userSourcedId", "role"], [("c1", "u1", "student")])
    roster = read(users_csv=users, enrollments_csv=enrollments)
    assert [each.external_ref for each in roster.people] == ["u2"]
    assert (roster.faults, roster.skipped) == ((), 1)


def test_rows_that_name_rows_that_are_not_there_are_faults():
    header = ["classSourcedId", "userSourcedId", "role"]
    rows = [
        ("c1", "u9", "student"),
        ("c9", "u1", "student"),
        ("c1", "u1", "teacher"),
        ("c1", "u1", "proctor"),
    ]
    assert faults(enrollments_csv=csv_text(header, rows)) == [
        ("enrollments.csv", 2, "userSourcedId", "unknown-user"),
        ("enrollments.csv", 3, "classSourcedId", "unknown-class"),
        ("enrollments.csv", 4, "role", "contradiction"),
    ]
    header = ["sourcedId", "title", "schoolSourcedId"]
    classes = csv_text(header, [("c1", "", "s1"), ("c2", "2반", "s9"), ("c2", "2반", "s1"), ("", "x", "s1")])
    assert faults(classes_csv=classes) == [
        ("classes.csv", 2, "title", "missing"),
        ("classes.csv", 3, "schoolSourcedId", "unknown-org"),
        ("classes.csv", 4, "sourcedId", "duplicate"),
        ("classes.csv", 5, "sourcedId", "missing"),
    ]


def test_users_who_cannot_be_taken_are_faults_and_their_enrolments_are_not():
    header = ["sourcedId", "orgSourcedIds", "role", "givenName", "familyName", "email"]
    users = [
        ("u1", "s9", "student", "민지", "김", ""),
        ("u2", "s1", "student", "", "", ""),
        ("t1", "s1", "teacher", "하준", "박", "no address"),
        ("t1", "s1", "teacher", "하준", "박", ""),
    ]
    assert faults(users_csv=csv_text(header, users)) == [
        ("users.csv", 2, "orgSourcedIds", "unknown-org"),
        ("users.csv", 3, "familyName", "missing"),
        ("users.csv", 4, "email", "not-an-email"),
        ("users.csv", 5, "sourcedId", "duplicate"),
    ]


def test_somebody_who_is_student_and_teacher_at_once_is_a_fault():
    roles = csv_text(["userSourcedId", "role"], [("u1", "student"), ("u1", "teacher"), ("u2", "student")])
    roster = read("1.2", roles_csv=roles)
    assert [(each.row, each.code) for each in roster.faults] == [(2, "contradiction")]
    assert [each.external_ref for each in roster.people] == ["u2"]


def test_sessions_are_checked_and_otherwise_left_alone():
    header = ["sourcedId", "title", "startDate", "endDate"]
    sessions = csv_text(header, [("y", "2026", "2026-03-02", "2027-02-30")])
    assert faults(academicSessions_csv=sessions) == [("academicSessions.csv", 2, "endDate", "not-a-date")]
    assert read(academicSessions_csv=None).faults == ()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"manifest_csv": None}, "no manifest.csv"),
        ({"users_csv": None}, "no users.csv"),
        ({"enrollments_csv": None}, "no enrollments.csv"),
        ({"manifest_csv": "a,b\n"}, "propertyName"),
        ({"manifest_csv": "propertyName,value\noneroster.version,1.0\n"}, "1.1 or 1.2"),
        ({"manifest_csv": "propertyName,value\noneroster.version,1.2\n"}, "no roles.csv"),
        ({"manifest_csv": "propertyName,value\noneroster.version,1.1\nfile.users,delta\n"}, "'delta'"),
        ({"users_csv": "sourcedId,role\n"}, "users.csv: it needs one column givenName"),
        ({"classes_csv": "sourcedId,title,title\n"}, "classes.csv: it needs one column title"),
        ({"orgs_csv": ""}, "orgs.csv: its first row names no columns"),
        ({"orgs_csv": b"sourcedId,name,type\n1,\xff\xff,x\n"}, "orgs.csv: it is neither UTF-8 nor CP949"),
    ],
)
def test_an_archive_that_is_wrong_as_a_whole_is_refused_with_its_reason(changed, why):
    assert why in refused(archive(oneroster_files(**changed)))


@pytest.mark.parametrize(
    "body", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + b"x" * 100, b"hello"]
)
def test_what_is_no_archive_is_refused(body):
    assert refused(body)


def test_an_archive_that_was_cut_short_or_changed_is_refused():
    whole = archive(oneroster_files())
    assert refused(whole[:-10])
    spoilt = bytearray(archive({"manifest.csv": "x" * 1000}, compression=zipfile.ZIP_STORED))
    spoilt[100] ^= 1
    assert "BadZipFile" in refused(bytes(spoilt))


def test_a_bomb_is_refused_when_it_has_unpacked_to_the_limit(monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_UNPACKED_BYTES", 1_000_000)
    files = oneroster_files(users_csv="sourcedId\n" + "0" * 1_000_000)
    body = archive(files)
    assert len(body) < 10_000
    assert "unpacks to more" in refused(body)


def test_a_bomb_is_not_unpacked_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_UNPACKED_BYTES", 1_000_000)
    body = archive(oneroster_files(users_csv="0" * 50_000_000))
    tracemalloc.start()
    try:
        assert "unpacks to more" in refused(body)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_what_an_archive_says_of_its_lengths_is_not_believed(monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_UNPACKED_BYTES", 1_000)
    body = bytearray(archive({"manifest.csv": "0" * 100_000}))
    # The uncompressed length, in the local header and in the directory at the end.
    for at in (body.find(b"PK\x03\x04") + 22, body.find(b"PK\x01\x02") + 24):
        body[at : at + 4] = (10).to_bytes(4, "little")
    assert refused(bytes(body))


def test_files_that_nobody_asked_for_are_not_unpacked(monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_UNPACKED_BYTES", 100_000)
    files = oneroster_files() | {"demographics.csv": "0" * 1_000_000}
    assert read_oneroster(archive(files)).people == PEOPLE


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("spoilt", [False, True])
def test_what_is_packed_in_a_way_of_its_own_is_refused_whole_or_spoilt(packing, spoilt):
    body = bytearray(archive(oneroster_files(), compression=packing))
    if spoilt:
        name = b"manifest.csv"
        start = body.index(name) + len(name)
        body[start : start + 30] = b"\xff" * 30
    assert "another way than deflate" in refused(bytes(body))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_wherever_an_archive_is_spoilt_it_is_read_or_refused(compression):
    whole = archive(oneroster_files(), compression=compression)
    for at in range(0, len(whole), 3):
        for byte in (0x00, 0xFF):
            body = bytearray(whole)
            body[at] = byte
            with suppress(UnreadableRoster):
                read_oneroster(bytes(body))


def test_an_archive_of_very_many_files_is_refused():
    assert "100 files" in refused(archive({f"{number}.csv": "" for number in range(101)}))


def test_two_files_of_one_name_are_refused():
    files = oneroster_files()
    assert "two files" in refused(archive(files | {"again/users.csv": files["users.csv"]}))
    moved = {name: content for name, content in files.items() if name != "users.csv"}
    assert "different folders" in refused(archive(moved | {"again/users.csv": files["users.csv"]}))
