"""Who looks after deadlines lets roles lapse that nobody confirmed, also when it was away meanwhile."""

from email import message_from_bytes
from email.policy import default

import pytest

from domain.users.account import GrantedRole
from domain.users.events import RoleLapsed
from infra.http.principal import RoleGrant
from tests.support.api import Clock, eventually, running_api
from tests.support.postgres import run_folder

DAY_S = 86_400
OFTEN = {"roles": {"check_interval_s": 0.1}}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder():
    with run_folder("reviews") as made:
        yield made


def letters(folder):
    """Recipient and subject of each mail that was sent."""
    found = [
        message_from_bytes(each.read_bytes(), policy=default) for each in (folder / "mail").glob("*.eml")
    ]
    return sorted((str(each["To"]), str(each["Subject"])) for each in found)


def lapses(api, user_id):
    return [each for each in api.events(user_id) if isinstance(each, RoleLapsed)]


def asker(api, person, role="sys_admin"):
    """With a token of now: the clock moves on, and tokens grow old."""
    return api.client(api.token(person.user_id, RoleGrant(role)))


def test_a_role_is_warned_of_confirmed_and_lapses_across_a_restart(database, folder, clock):
    with running_api(database, folder, clock=clock, **OFTEN) as api:
        root, other = (api.person(GrantedRole("sys_admin")) for _ in range(2))
        keeper, second = (api.person(GrantedRole("student")) for _ in range(2))
        for person in (keeper, second):
            made = root.http.post(f"/users/{person.user_id}/roles", json={"role": "zone_admin"})
            assert made.status_code == 201, made.text
        assert root.http.get("/roles/due").json() == {"roles": []}

        clock.advance(24 * DAY_S)
        now = asker(api, root)
        # Who has asked for nothing yet may find the read model a moment behind.
        due = eventually(lambda: len(found := now.get("/roles/due").json()["roles"]) == 4 and found)
        assert {(each["user_id"], each["role"], each["standing"]) for each in due} == {
            (root.user_id, "sys_admin", "due"),
            (other.user_id, "sys_admin", "due"),
            (keeper.user_id, "zone_admin", "due"),
            (second.user_id, "zone_admin", "due"),
        }
        # Made last, so that this one keeps the role if nobody is confirmed.
        assert [each["user_id"] for each in due if each["kept"]] == [other.user_id]
        holder, confirmer = "관리자 권한을 확인받아야 합니다", "확인을 기다리는 관리자 권한이 있습니다"
        expected = sorted(
            [(person.email, holder) for person in (root, other, keeper, second)]
            + [(person.email, confirmer) for person in (root, other)]
        )
        # First the letters: who is confirmed before the next look at the roles is not written to.
        eventually(lambda: letters(folder) == expected)
        assert now.post(f"/users/{keeper.user_id}/roles/zone_admin/confirm").status_code == 200
        assert now.post(f"/users/{other.user_id}/roles/sys_admin/confirm").status_code == 200

    clock.advance(10 * DAY_S)
    with running_api(database, folder, clock=clock, **OFTEN) as api:
        eventually(lambda: lapses(api, second.user_id))
        eventually(lambda: lapses(api, root.user_id))
        assert lapses(api, second.user_id) == [RoleLapsed(role="zone_admin", reason="unconfirmed")]
        assert lapses(api, root.user_id) == [RoleLapsed(role="sys_admin", reason="unconfirmed")]
        assert lapses(api, keeper.user_id) == lapses(api, other.user_id) == []

        # A token of a minute ago, which still names the role, opens nothing.
        gone = asker(api, root)
        path = f"/users/{keeper.user_id}/roles/zone_admin"
        eventually(lambda: gone.delete(path).status_code == 403)
        assert gone.get("/roles/due").json() == {"roles": []}

        clock.advance(300 * DAY_S)
        eventually(lambda: lapses(api, keeper.user_id))
        still = asker(api, other)

        def only_the_kept_one():
            due = still.get("/roles/due").json()["roles"]
            return [(each["user_id"], each["standing"], each["kept"]) for each in due] == [
                (other.user_id, "overdue", True)
            ]

        eventually(only_the_kept_one)
        assert lapses(api, other.user_id) == []
