"""Passwords: changed, forgotten and set anew; addresses confirmed. Letters are read from the mail folder."""

import msgspec
import pytest

from commands.credentials import change_password
from commands.kinds import USER
from commands.sign_in import WrongCredentials
from domain.events import Actor
from domain.users.account import GrantedRole, deactivate, verify_email
from domain.users.events import EmailVerified, PasswordChanged
from tests.support.accounts import (
    OTHER_PASSWORD,
    letters,
    link_token,
    mailed_token,
    new_email,
    opens,
    refresh,
    registered,
    sign_in,
    text_of,
    tokens,
)
from tests.support.api import PASSWORD, bootstrap_context, eventually, refusal

RESET = "/reset-password"
VERIFY = "/verify-email"


@pytest.fixture
def account(api):
    return registered(api)


def change(api, access_token, present=PASSWORD, wanted=OTHER_PASSWORD, **request):
    body = {"current_password": present, "new_password": wanted}
    return api.client(access_token).put("/users/me/password", json=body, **request)


def ask_for_reset(api, address, **request):
    answer = api.client().post("/auth/password-reset", json={"email": address}, **request)
    assert answer.status_code == 202, answer.text
    return answer


def reset(api, token, password=OTHER_PASSWORD, **request):
    body = {"token": token, "new_password": password}
    return api.client().post("/auth/password-reset/confirm", json=body, **request)


def verify(api, token):
    return api.client().post("/auth/email-verification", json={"token": token})


def count_of(api, user_id, event_class):
    return sum(isinstance(event, event_class) for event in api.events(user_id))


def test_a_changed_password_ends_all_sessions_but_the_one_that_changed_it(api, account):
    here, there = tokens(api, account), tokens(api, account)
    assert change(api, here["access_token"]).status_code == 204
    assert opens(api, here["access_token"])
    assert not opens(api, there["access_token"])
    assert refusal(refresh(api, there["refresh_token"])) == (401, "refresh-refused")
    assert refresh(api, here["refresh_token"]).status_code == 200
    assert refusal(sign_in(api, account, PASSWORD)) == (401, "sign-in-refused")
    assert sign_in(api, account, OTHER_PASSWORD).status_code == 200


def test_a_person_is_told_by_mail_that_their_password_was_changed(api, account):
    change(api, tokens(api, account)["access_token"])
    [told] = eventually(lambda: list(letters(api, account.email, "방금 바뀌었고")))
    assert told["Subject"] == "비밀번호가 바뀌었습니다"
    assert "#token" not in text_of(told)


def test_a_password_is_changed_by_whoever_knows_the_present_one_only(api, account):
    here = tokens(api, account)["access_token"]
    assert refusal(change(api, here, present="not the one")) == (403, "wrong-credentials")
    assert refusal(change(api, here, wanted="password")) == (422, "weak-password")
    assert sign_in(api, account, PASSWORD).status_code == 200
    assert count_of(api, account.user_id, PasswordChanged) == 0


def context_of(account):
    context = bootstrap_context()
    return msgspec.structs.replace(context, actor=Actor("user", account.user_id), repeatable=True)


def changing(api, account, context, wanted):
    links = api.services.sign_in.links
    return change_password(api.write, context, links, account.user_id, present=PASSWORD, wanted=wanted)


def changed_while_the_present_password_is_checked(api, monkeypatch, account, contexts, wanted):
    """What the first of two changes comes to: the second is made while its present password is checked."""
    checked = api.write.hasher.verify
    waiting = list(zip(contexts, wanted, strict=True))

    def one():
        context, password = waiting.pop(0)
        return changing(api, account, context, password)

    async def overtaken(password, hash_):
        matches = await checked(password, hash_)
        if waiting:
            await one()
        return matches

    monkeypatch.setattr(api.write.hasher, "verify", overtaken)
    try:
        return api.run(one())
    finally:
        monkeypatch.undo()


def test_of_two_changes_by_the_same_present_password_the_later_is_refused(api, monkeypatch, account):
    contexts, wanted = [context_of(account), context_of(account)], ["what the thief wants", OTHER_PASSWORD]
    with pytest.raises(WrongCredentials):
        changed_while_the_present_password_is_checked(api, monkeypatch, account, contexts, wanted)
    assert sign_in(api, account, OTHER_PASSWORD).status_code == 200
    assert count_of(api, account.user_id, PasswordChanged) == 1


def before_the_next_session(api, monkeypatch, happening):
    """Lets something happen between the check of a sign-in and its session."""
    start = api.services.refresh_tokens.start

    async def started_later(*args, **named):
        monkeypatch.undo()
        await happening()
        return await start(*args, **named)

    monkeypatch.setattr(api.services.refresh_tokens, "start", started_later)


def sessions_of(api, account):
    return len(api.run(api.services.refresh_tokens.sessions(account.user_id, api.clock())))


def test_a_sign_in_that_began_before_the_password_was_changed_opens_nothing(api, monkeypatch, account):
    async def changed():
        await changing(api, account, context_of(account), OTHER_PASSWORD)

    before_the_next_session(api, monkeypatch, changed)
    assert refusal(sign_in(api, account, PASSWORD)) == (401, "sign-in-refused")
    assert sessions_of(api, account) == 0
    assert sign_in(api, account, OTHER_PASSWORD).status_code == 200


def test_a_sign_in_that_began_before_the_account_ended_opens_nothing(api, monkeypatch, account):
    async def ended():
        await api.write.streams.execute(
            context_of(account), USER, account.user_id, lambda state: deactivate(state, "left")
        )

    before_the_next_session(api, monkeypatch, ended)
    assert refusal(sign_in(api, account, PASSWORD)) == (401, "sign-in-refused")
    assert sessions_of(api, account) == 0


def test_a_sign_in_during_which_something_else_was_changed_goes_on(api, monkeypatch, account):
    async def confirmed():
        await api.write.streams.execute(
            context_of(account), USER, account.user_id, lambda state: verify_email(state, "0" * 64)
        )

    before_the_next_session(api, monkeypatch, confirmed)
    assert opens(api, tokens(api, account)["access_token"])


def test_a_change_that_comes_twice_at_once_leaves_the_new_password_good(api, monkeypatch, account):
    contexts, wanted = [context_of(account)] * 2, [OTHER_PASSWORD] * 2
    changed_while_the_present_password_is_checked(api, monkeypatch, account, contexts, wanted)
    assert sign_in(api, account, OTHER_PASSWORD).status_code == 200
    assert count_of(api, account.user_id, PasswordChanged) == 1


def test_a_change_that_is_sent_twice_happens_once(api, account):
    here = tokens(api, account)["access_token"]
    named = {"Idempotency-Key": "change-it"}
    assert change(api, here, headers=named).status_code == 204
    assert change(api, here, headers=named).status_code == 204
    assert count_of(api, account.user_id, PasswordChanged) == 1


def test_the_hash_of_the_password_before_is_gone(api, account):
    before = api.events(account.user_id)[0].credential_id
    change(api, tokens(api, account)["access_token"])
    assert api.run(api.write.credentials.get(before)) is None


def test_a_forgotten_password_is_set_anew_by_the_mailed_link_once(api, elsewhere, account):
    given = tokens(api, account)
    ask_for_reset(api, account.email)
    token = mailed_token(api, account.email, RESET)
    assert reset(elsewhere, token).status_code == 204
    assert refusal(reset(api, token, "a third password")) == (403, "link-refused")
    assert refusal(sign_in(api, account, PASSWORD)) == (401, "sign-in-refused")
    assert sign_in(api, account, OTHER_PASSWORD).status_code == 200
    assert refresh(api, given["refresh_token"]).status_code == 401
    eventually(lambda: not opens(api, given["access_token"]), within_s=5.0, every_s=0.02)


def test_whoever_used_a_mailed_link_reads_the_mail_of_that_address(api, account):
    ask_for_reset(api, account.email)
    reset(api, mailed_token(api, account.email, RESET))
    assert count_of(api, account.user_id, EmailVerified) == 1


def test_a_reset_takes_every_other_reset_link_with_it(api, account):
    ask_for_reset(api, account.email)
    first = mailed_token(api, account.email, RESET)
    ask_for_reset(api, account.email)
    second = mailed_token(api, account.email, RESET, 2)
    assert first != second
    assert reset(api, second).status_code == 204
    assert refusal(reset(api, first)) == (403, "link-refused")


def test_a_changed_password_takes_every_reset_link_with_it(api, account):
    ask_for_reset(api, account.email)
    token = mailed_token(api, account.email, RESET)
    assert change(api, tokens(api, account)["access_token"]).status_code == 204
    assert refusal(reset(api, token, "a third password")) == (403, "link-refused")
    assert sign_in(api, account, OTHER_PASSWORD).status_code == 200


def test_a_link_that_was_used_is_not_good_again_when_its_mail_is_sent_again(own_api):
    links = own_api.services.sign_in.links
    person = "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"

    def made(mail_id="mail"):
        return own_api.run(links.make(mail_id, "password_reset", person))

    token, other = made(), made("another")
    assert made() == token
    assert own_api.run(links.use(token, "password_reset")) == person
    for after_s in (1, 3600):  # while it would be good, and when it would have been swept
        own_api.clock.advance(after_s)
        own_api.run(links.sweep(own_api.clock()))
        assert (made(), made("another")) == (token, other)
        assert own_api.run(links.subject(token, "password_reset")) is None
        assert own_api.run(links.use(token, "password_reset")) is None
        assert own_api.run(links.use(other, "password_reset")) is None
    own_api.clock.advance(3 * 86_400)
    own_api.run(links.sweep(own_api.clock()))
    assert own_api.query("SELECT count(*) FROM ops.one_time_links") == [(0,)]


def test_of_two_who_use_one_link_at_once_one_wins(api, account):
    ask_for_reset(api, account.email)
    token = mailed_token(api, account.email, RESET)
    asked = [
        {
            "method": "POST",
            "url": "/auth/password-reset/confirm",
            "json": {"token": token, "new_password": f"password number {number}"},
        }
        for number in range(2)
    ]
    statuses = [answer.status_code for answer in api.at_once(asked)]
    assert sorted(statuses) == [204, 403]
    assert sign_in(api, account, f"password number {statuses.index(204)}").status_code == 200
    assert count_of(api, account.user_id, PasswordChanged) == 1


def test_a_reset_link_is_good_for_half_an_hour(own_api):
    account = registered(own_api)
    for minutes, outcome in ((29, 204), (31, 403)):
        ask_for_reset(own_api, account.email)
        token = mailed_token(own_api, account.email, RESET)
        for path in own_api.settings.mail_dir.glob("*.eml"):
            path.unlink()
        own_api.clock.advance(minutes * 60)
        assert reset(own_api, token, f"password after {minutes} minutes").status_code == outcome


def test_a_weak_password_leaves_the_link_as_it_is(api, account):
    ask_for_reset(api, account.email)
    token = mailed_token(api, account.email, RESET)
    assert refusal(reset(api, token, "password")) == (422, "weak-password")
    assert reset(api, token).status_code == 204


@pytest.mark.parametrize("token", ["A" * 43, "-" * 43])
def test_a_link_that_was_never_sent_opens_nothing(api, token):
    assert refusal(reset(api, token)) == (403, "link-refused")
    assert refusal(verify(api, token)) == (403, "link-refused")


def test_a_link_is_good_for_what_it_was_sent_for_and_nothing_else(api, account):
    to_verify = mailed_token(api, account.email, VERIFY)
    assert refusal(reset(api, to_verify)) == (403, "link-refused")
    ask_for_reset(api, account.email)
    to_reset = mailed_token(api, account.email, RESET)
    assert refusal(verify(api, to_reset)) == (403, "link-refused")
    assert reset(api, to_reset).status_code == 204


def test_who_registers_confirms_the_address_by_the_mailed_link_once(api, account):
    token = mailed_token(api, account.email, VERIFY)
    assert verify(api, token).status_code == 204
    assert refusal(verify(api, token)) == (403, "link-refused")
    assert count_of(api, account.user_id, EmailVerified) == 1


def test_a_person_signs_in_before_the_address_is_confirmed(api, account):
    assert sign_in(api, account).status_code == 200
    assert count_of(api, account.user_id, EmailVerified) == 0


def test_another_link_is_sent_to_whoever_asks_and_none_to_whoever_is_confirmed(api, account):
    token = mailed_token(api, account.email, VERIFY)
    here = api.client(tokens(api, account)["access_token"])
    assert here.post("/users/me/email-verification").status_code == 202
    second = mailed_token(api, account.email, VERIFY, 2)
    assert verify(api, second).status_code == 204
    assert here.post("/users/me/email-verification").status_code == 202
    # Another mail to the same person shows that the worker has been past the one before.
    ask_for_reset(api, account.email)
    mailed_token(api, account.email, RESET)
    assert len(list(letters(api, account.email, VERIFY))) == 2
    assert token != second


def test_letters_are_in_the_language_of_their_reader(api):
    account = registered(api, language="en", display_name="Jamie {link}")
    ask_for_reset(api, account.email)
    [letter] = eventually(lambda: list(letters(api, account.email, RESET)))
    assert letter["Subject"] == "Set a new password"
    assert text_of(letter).startswith("Hello Jamie {link},")
    assert len(link_token(letter)) == 43


def test_nobody_is_written_to_more_than_three_times_an_hour_by_those_who_know_the_address(own_api):
    account = registered(own_api)
    for number in range(1, 4):
        ask_for_reset(own_api, account.email)
        mailed_token(own_api, account.email, RESET, number)
    ask_for_reset(own_api, account.email)
    dropped = "SELECT count(*) FROM ops.outbox WHERE outcome = 'dropped'"
    eventually(lambda: own_api.query(dropped) == [(1,)])
    assert len(list(letters(own_api, account.email, RESET))) == 3
    own_api.clock.advance(3601)
    ask_for_reset(own_api, account.email)
    mailed_token(own_api, account.email, RESET, 4)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_no_word_of_whoever_registers_stands_in_the_letter_to_the_address(api, language):
    account = registered(api, language=language, display_name="Win at evil.example")
    [letter] = eventually(lambda: list(letters(api, account.email, VERIFY)))
    assert "evil" not in text_of(letter) + str(letter["Subject"])
    assert len(link_token(letter)) == 43


def test_nobody_has_an_address_written_to_more_than_three_times_an_hour_by_opening_an_account(own_api):
    account = registered(own_api)
    here = own_api.client(tokens(own_api, account)["access_token"])
    for number in range(1, 4):
        mailed_token(own_api, account.email, VERIFY, number)
        assert here.post("/users/me/email-verification").status_code == 202
    dropped = "SELECT count(*) FROM ops.outbox WHERE outcome = 'dropped'"
    eventually(lambda: own_api.query(dropped) == [(1,)])
    assert len(list(letters(own_api, account.email, VERIFY))) == 3
    own_api.clock.advance(3601)
    here = own_api.client(tokens(own_api, account)["access_token"])
    assert here.post("/users/me/email-verification").status_code == 202
    mailed_token(own_api, account.email, VERIFY, 4)


def test_asking_for_a_reset_looks_the_same_whether_or_not_anybody_has_the_address(own_api):
    account = registered(own_api)
    counted = own_api.count_hashes()
    known = ask_for_reset(own_api, account.email)
    unknown = ask_for_reset(own_api, new_email())
    changing = {"x-request-id", "date", "ratelimit"}

    def seen(answer):
        headers = {name: value for name, value in answer.headers.items() if name not in changing}
        return answer.status_code, answer.content, headers

    assert seen(known) == seen(unknown)
    assert counted() == 0
    waiting = (
        "SELECT email_hash IS NOT NULL, subject_id IS NULL FROM ops.outbox WHERE kind = 'password_reset'"
    )
    assert own_api.query(waiting) == [(True, True)] * 2


def test_an_examinee_without_a_password_has_none_to_change(api):
    student = api.school().student()
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert refusal(student.http.put("/users/me/password", json=body)) == (403, "wrong-credentials")


def test_a_program_has_neither_a_password_nor_an_address(api):
    _, service = api.school().service()
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert refusal(service.http.put("/users/me/password", json=body)) == (404, "user-not-found")
    assert refusal(service.http.post("/users/me/email-verification")) == (404, "user-not-found")


def test_a_deactivated_person_gets_no_link_that_opens_anything(api, account):
    ask_for_reset(api, account.email)
    token = mailed_token(api, account.email, RESET)
    admin = api.person(GrantedRole("sys_admin"))
    answer = admin.http.post(f"/users/{account.user_id}/deactivation", json={"reason": "left"})
    assert answer.status_code == 204
    assert refusal(reset(api, token)) == (403, "link-refused")
