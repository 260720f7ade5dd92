"""The outbox: what is asked for is sent, also when senders and workers fail; and it is sent once."""

import signal
import stat
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from commands.register_user import RegisterUser, register_user
from infra.auth.opening import outbox_worker
from infra.outbox.asked import LEASE
from tests.support.accounts import letters, registered, registration, text_of
from tests.support.api import PASSWORD, Clock, bootstrap_context, eventually, refusal, running_api
from tests.support.dying_mailer import by_smtp
from tests.support.mail_server import mail_server
from tests.support.postgres import CHECKOUT, run_folder

OUTCOMES = "SELECT outcome, tries FROM ops.outbox ORDER BY mail_id"


@pytest.fixture
def server():
    with mail_server() as running:
        yield running


@pytest.fixture
def folder():
    with run_folder("mail") as made:
        yield made


@pytest.fixture
def api(database, folder, server):
    """Nothing sends in it but what a test lets send; its clock can be set."""
    settings = {"role": "api", "clock": Clock(), "mail": by_smtp(server.port)}
    with running_api(database, folder, **settings) as running:
        yield running


def worker_of(api):
    return outbox_worker(api.settings, api.services.sign_in, api.services.write)


def send_due(api, worker=None):
    return api.run((worker or worker_of(api)).send_due())


def test_a_letter_goes_out_by_smtp(api, server):
    account = registered(api)
    assert send_due(api) == 1
    [letter] = server.letters
    assert server.recipients == [account.email] == [letter["To"]]
    assert letter["From"] == "no-reply@school.example"
    assert letter["Message-ID"].endswith("@school.example>")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert "https://school.example/verify-email#token=" in text_of(letter)
    assert "이서연" not in text_of(letter)  # the address may be somebody else's
    assert send_due(api) == 0
    assert api.query(OUTCOMES) == [("sent", 1)]


def test_a_mail_server_that_wants_a_name_is_told_it(database, folder, server):
    mail = {**by_smtp(server.port), "smtp_username": "megacity", "smtp_password": "a secret"}
    with running_api(database, folder, role="api", mail=mail) as api:
        registered(api)
        send_due(api)
        assert server.signed_in == ["megacity"]
        assert len(server.taken) == 1


def test_nothing_is_said_to_a_mail_server_that_lacks_the_encryption_asked_for(database, folder, server):
    mail = {**by_smtp(server.port), "smtp_security": "starttls"}
    with running_api(database, folder, role="api", mail=mail) as api:
        registered(api)
        assert send_due(api) == 1
        assert server.taken == server.recipients == server.signed_in == []
        assert api.query(OUTCOMES) == [(None, 1)]


def somebody_at(address):
    """As one who registered before such addresses were refused."""
    return RegisterUser(
        email=address, password=PASSWORD, display_name="이서연", language="ko", zone_id="univprep"
    )


@pytest.mark.parametrize("address", ["=?utf-8?q?a=0Ab?=@example.org", "=?utf-8?q??=@example.org"])
def test_a_letter_that_cannot_be_written_keeps_no_other_from_going_out(api, server, address):
    lost = api.run(register_user(api.write, bootstrap_context(), somebody_at(address)))
    other = registered(api)
    with capture_logs() as logs:
        assert send_due(api) == 2
    assert server.recipients == [other.email]
    outcomes = dict(api.query("SELECT subject_id, outcome FROM ops.outbox"))
    assert outcomes == {lost.stream_id: None, other.user_id: "sent"}
    [failed] = [each for each in logs if each["event"] == "mail failed"]
    assert address not in str(failed)
    api.clock.advance(86_401)
    assert send_due(api) == 1
    assert api.query("SELECT count(*) FROM ops.outbox WHERE outcome = 'dropped'") == [(1,)]


@pytest.mark.parametrize("address", ["=?utf-8?q?a=0Ab?=@example.org", "a=?b@example.org"])
def test_nobody_registers_with_an_address_that_no_letter_can_be_written_to(api, address):
    answer = api.client().post("/auth/register", json=registration(email=address))
    assert refusal(answer) == (422, "invalid-request")
    assert api.query("SELECT count(*) FROM ops.outbox") == [(0,)]


def test_a_letter_that_is_refused_goes_out_later_at_growing_intervals(api, server):
    registered(api)
    server.refusals += ["451 later", "451 later"]
    assert send_due(api) == 1
    assert send_due(api) == 0
    api.clock.advance(2)
    assert send_due(api) == 1
    api.clock.advance(2)
    assert send_due(api) == 0
    api.clock.advance(2)
    assert send_due(api) == 1
    assert len(server.taken) == 1
    assert api.query(OUTCOMES) == [("sent", 3)]


def test_a_letter_that_nobody_takes_is_given_up_after_a_day(api, server):
    registered(api)
    server.refusals += ["550 no such mailbox"] * 2
    assert send_due(api) == 1
    api.clock.advance(86_401)
    assert send_due(api) == 1
    assert api.query(OUTCOMES) == [("dropped", 2)]
    assert server.taken == []


def test_a_mail_server_that_is_away_costs_nobody_their_registration(database, folder, server):
    mail = by_smtp(server.port) | {"smtp_port": 1}
    with running_api(database, folder, role="api", mail=mail) as api:
        registered(api)
        assert send_due(api) == 1
        assert api.query(OUTCOMES) == [(None, 1)]


def test_two_workers_send_each_letter_once(api, server):
    accounts = [registered(api) for _ in range(4)]

    async def both():
        import asyncio

        return await asyncio.gather(*(worker_of(api).send_due() for _ in range(2)))

    assert sum(api.run(both())) == 4
    assert sorted(server.recipients) == sorted(each.email for each in accounts)


def test_a_worker_killed_between_sending_and_noting_errs_by_a_second_letter_of_the_same_name(
    api, database, folder, server
):
    registered(api)
    words = [sys.executable, "-m", "tests.support.dying_mailer", database, str(folder), str(server.port)]
    died = subprocess.run(words, cwd=CHECKOUT, timeout=60, check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(server.taken) == 1
    assert api.query(OUTCOMES) == [(None, 1)]
    assert send_due(api) == 0  # it may still be at work
    api.clock.advance(LEASE.total_seconds() + 1)
    assert send_due(api) == 1
    first, second = server.letters
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    assert text_of(first) == text_of(second)  # with the same link
    assert send_due(api) == 0
    assert api.query(OUTCOMES) == [("sent", 2)]


def test_nobody_is_written_to_about_a_registration_that_was_lost(api, server):
    # The address is claimed and the letter asked for; then the process dies.
    lost = "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
    api.run(api.write.mail.to_person("verify_email", lost))
    assert send_due(api) == 1
    api.clock.advance(86_401)
    assert send_due(api) == 1
    assert api.query(OUTCOMES) == [("dropped", 2)]
    assert server.taken == []


def test_without_a_mail_server_letters_lie_in_a_folder_for_its_owner_alone(database, folder):
    with running_api(database, folder) as api:
        account = registered(api)
        [letter] = eventually(lambda: list(letters(api, account.email)))
        [path] = api.settings.mail_dir.glob("*.eml")
        assert letter["Message-ID"].startswith(f"<{path.stem}@")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(api.settings.mail_dir.stat().st_mode) == 0o700


def test_the_database_holds_neither_an_address_nor_a_link(api, server):
    account = registered(api)
    send_due(api)
    token = text_of(server.letters[0]).partition("#token=")[2][:43]
    rows = "SELECT o::text FROM ops.outbox o UNION ALL SELECT l::text FROM ops.one_time_links l"
    told = " ".join(row for (row,) in api.query(rows))
    assert account.user_id in told
    assert account.email not in told
    assert token not in told
