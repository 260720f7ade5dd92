"""Roster files, written as schools and other systems write them."""

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence

ENGLISH = ("external_ref", "display_name", "language", "class", "role", "email")
KOREAN = ("학번", "이름", "언어", "학급", "역할", "이메일")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def a_table(*rows: Sequence[str], header: Sequence[str] = ("external_ref", "display_name", "class")) -> bytes:
    return csv_text(header, rows).encode()


def archive(files: Mapping[str, str | bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


MANIFEST = "propertyName,value\nmanifest.version,1.0\noneroster.version,{version}\nfile.orgs,bulk\n"


def oneroster_files(version: str = "1.1", **changed: str | None) -> dict[str, str]:
    """A school of two classes, three students, a teacher and a parent; None leaves a file out."""
    users = [
        ("u1", "active", "true", "s1", "student", "민지", "김", "minji@example.org"),
        ("u2", "active", "true", "s1", "student", "서연", "이", ""),
        ("u3", "active", "true", "s1", "student", "Ada", "Lovelace", ""),
        ("t1", "active", "true", "s1", "teacher", "하준", "박", "hajun@example.org"),
        ("p1", "active", "true", "s1", "parent", "은주", "김", ""),
        ("gone", "tobedeleted", "true", "s1", "student", "도윤", "최", ""),
    ]
    columns = [
        "sourcedId",
        "status",
        "enabledUser",
        "orgSourcedIds",
        "role",
        "givenName",
        "familyName",
        "email",
    ]
    roles = [(f"r-{user[0]}", user[0], "primary", user[4], "s1") for user in users]
    if version == "1.2":
        users = [user[:4] + user[5:] for user in users]
        columns = [each for each in columns if each != "role"]
    files: dict[str, str | None] = {
        "manifest.csv": MANIFEST.format(version=version),
        "orgs.csv": csv_text(["sourcedId", "name", "type"], [("s1", "한빛고등학교", "school")]),
        "users.csv": csv_text(columns, users),
        "roles.csv": csv_text(["sourcedId", "userSourcedId", "roleType", "role", "orgSourcedId"], roles)
        if version == "1.2"
        else None,
        "classes.csv": csv_text(
            ["sourcedId", "title", "schoolSourcedId"], [("c1", "1학년 1반", "s1"), ("c2", "1학년 2반", "s1")]
        ),
        "enrollments.csv": csv_text(
            ["sourcedId", "classSourcedId", "userSourcedId", "role"],
            [
                ("e1", "c1", "u1", "student"),
                ("e2", "c1", "u2", "student"),
                ("e3", "c2", "u2", "student"),
                ("e4", "c1", "t1", "teacher"),
            ],
        ),
        "academicSessions.csv": csv_text(
            ["sourcedId", "title", "startDate", "endDate"], [("y", "2026", "2026-03-02", "2027-02-28")]
        ),
    }
    files |= {
        name.replace("_", ".") if name.endswith("_csv") else name: given for name, given in changed.items()
    }
    return {name: content for name, content in files.items() if content is not None}
