"""`megacity admin` and `megacity roles` beside a running system."""

import csv
import json

import pytest
from typer.testing import CliRunner

from domain.users.account import GrantedRole
from domain.users.events import UserDeactivated
from infra.cli.main import app
from tests.support.api import PASSWORD, Clock, eventually, refusal, running_api
from tests.support.postgres import ROLE_SECRET, fresh_database, run_folder

DAY_S = 86_400
NOBODY = "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"


@pytest.fixture(scope="module")
def folder():
    with run_folder("governance") as made:
        secret = made / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        yield made


@pytest.fixture(scope="module")
def conninfo(postgres_server):
    with fresh_database(postgres_server) as made:
        yield made


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest.fixture(scope="module")
def api(conninfo, folder, clock):
    with running_api(conninfo, folder, clock=clock) as running:
        yield running


@pytest.fixture
def megacity(api, conninfo, folder, monkeypatch):
    """The command line, with the folder and the database of the running system."""
    del api
    monkeypatch.setenv("DATABASE_URL", conninfo)
    monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))

    def run(*arguments, status=0):
        done = CliRunner().invoke(app, [str(each) for each in arguments])
        assert done.exit_code == status, done.output
        return done.stderr if status == 2 else done.stdout

    return run


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return path


def listed(text):
    return [json.loads(line) for line in text.splitlines()]


def bootstrap(megacity, password_file, email="first@example.org", **how):
    words = ["admin", "bootstrap", "--email", email, "--password-file", password_file]
    return megacity(*words, **how)


def test_the_first_administrator_is_made_once_and_signs_in(api, megacity, password_file):
    said = bootstrap(megacity, password_file)
    assert said.endswith(" administers the system\n")
    answer = api.client().post("/auth/login", json={"email": "first@example.org", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    root = api.client(answer.json()["access_token"])
    eventually(lambda: root.get("/roles/due").status_code == 200)
    assert root.post("/zones/majorprep/activate", json={"reason": "first"}).status_code == 200

    for email in ("first@example.org", "second@example.org"):
        refused = bootstrap(megacity, password_file, email, status=2)
        assert refused.startswith("error: The first system administrator was made before")


@pytest.mark.parametrize(
    ("content", "email", "sentence"),
    [
        ("", "first@example.org", "The first line of the password file is empty."),
        ("short\n", "first@example.org", "The password is shorter than 8 characters."),
        (f"{PASSWORD}\n", "no address", "This is no e-mail address."),
    ],
)
def test_what_cannot_be_an_account_is_refused_with_a_sentence(
    megacity, password_file, content, email, sentence
):
    password_file.write_text(content, encoding="utf-8")
    assert bootstrap(megacity, password_file, email, status=2).startswith(f"error: {sentence}")


def test_no_password_is_taken_from_an_argument_or_a_pipe(megacity):
    refused = megacity("admin", "bootstrap", "--email", "x@example.org", status=2)
    assert "--password-file" in refused
    assert "--password " not in megacity("admin", "bootstrap", "--help")


def test_the_report_says_who_holds_what_since_when_confirmed_by_whom_due_when(api, megacity):
    root, keeper = api.person(GrantedRole("sys_admin")), api.person(GrantedRole("student"))
    school = api.school()
    assert root.http.post(f"/users/{keeper.user_id}/roles", json={"role": "zone_admin"}).status_code == 201
    assert root.http.post(f"/users/{keeper.user_id}/roles/zone_admin/confirm").status_code == 200

    def reported():
        return {
            (each["user_id"], each["role"]): each for each in listed(megacity("roles", "report", "--json"))
        }

    def all_there():
        rows = reported()
        row = rows.get((keeper.user_id, "zone_admin"))
        return row is not None and row["confirmed_by"] == root.user_id and rows

    rows = eventually(all_there)
    row = rows[keeper.user_id, "zone_admin"]
    assert row["granted_by"] == root.user_id
    assert row["confirmed_at"] > row["granted_at"]
    assert row["due_at"] > row["confirmed_at"]
    assert row["standing"] == "confirmed"
    teacher = rows[school.teacher.user_id, "teacher"]
    assert (teacher["org_id"], teacher["due_at"], teacher["standing"]) == (school.org_id, None, None)
    assert not any(role == "student" for _, role in rows)
    table = megacity("roles", "report")
    assert "due at" in table
    assert keeper.user_id in table


def test_leavers_are_deactivated_by_a_list_and_their_tokens_open_nothing(api, megacity, tmp_path):
    ann, bob, eve = (api.person(GrantedRole("student")) for _ in range(3))
    signed_in = api.client().post("/auth/login", json={"email": ann.email, "password": PASSWORD}).json()
    path = tmp_path / "leavers.csv"
    with path.open("w", encoding="cp949", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["이름", "email", "user_id"], ["김민지", ann.email, ""], ["이", "", bob.user_id]])
        writer.writerow(["없는 사람", "", NOBODY])

    planned = listed(megacity("roles", "leavers", path, "--dry-run", "--json", status=1))
    assert [(each["row"], each["result"]) for each in planned] == [
        (2, "to be deactivated"),
        (3, "to be deactivated"),
        (4, "not found"),
    ]
    assert ann.http.get("/users/me").status_code == 200

    done = listed(megacity("roles", "leavers", path, "--reason", "left in spring", "--json", status=1))
    assert [each["result"] for each in done] == ["deactivated", "deactivated", "not found"]
    assert api.events(ann.user_id)[-1] == UserDeactivated(reason="left in spring")
    assert api.recorded(ann.user_id)[-1].metadata.actor.kind == "operator"
    # The command ran in another process as far as the server knows: it hears of it within a second.
    eventually(lambda: ann.http.get("/users/me").status_code == 401, within_s=5)
    again = api.client().post("/auth/refresh", json={"refresh_token": signed_in["refresh_token"]})
    assert refusal(again)[0] == 401
    assert eve.http.get("/users/me").status_code == 200


def test_a_list_without_people_in_it_is_refused(megacity, tmp_path):
    path = tmp_path / "leavers.csv"
    path.write_text("name\nKim\n", encoding="utf-8")
    refused = megacity("roles", "leavers", path, status=2)
    assert refused.startswith("error: The list needs a column user_id or email.")


def test_accounts_that_nobody_uses_are_listed_also_when_the_sign_in_is_forgotten(api, megacity):
    never, lately, long_ago = (api.person(GrantedRole("student")) for _ in range(3))
    for person in (lately, long_ago):
        login = api.client().post("/auth/login", json={"email": person.email, "password": PASSWORD})
        assert login.status_code == 200

    async def back_to(user_id, days):
        async with api.services.writer_pool.connection() as connection:
            await connection.execute(
                "UPDATE ops.refresh_families SET created_at = created_at - make_interval(days => %(d)s),"
                " last_used_at = last_used_at - make_interval(days => %(d)s),"
                " expires_at = expires_at - make_interval(days => %(d)s) WHERE subject_id = %(u)s",
                {"d": days, "u": user_id},
            )

    api.run(back_to(long_ago.user_id, 50))
    api.run(back_to(lately.user_id, 35))
    # Both sign-ins are over, and forgotten; when they were is not.
    assert api.run(api.services.refresh_tokens.sweep(api.services.clock())) >= 2

    async def registered_long_ago():
        async with api.services.projector_pool.connection() as connection:
            await connection.execute(
                "UPDATE read.people SET registered_at = registered_at - interval '100 days'"
                " WHERE user_id = ANY (%s)",
                ([never.user_id, lately.user_id, long_ago.user_id],),
            )

    eventually(lambda: all(each.http.get("/users/me").status_code == 200 for each in (never, lately)))
    api.run(registered_long_ago())

    def idle_for(days):
        rows = listed(megacity("roles", "idle", "--days", days, "--json"))
        return {each["user_id"]: each["last_seen"] for each in rows}

    found = idle_for(40)
    assert found[never.user_id] is None
    assert found[long_ago.user_id] is not None
    assert lately.user_id not in found
    assert lately.user_id in idle_for(30)
    assert never.user_id not in idle_for(200)
