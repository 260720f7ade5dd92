"""What the payment provider tells: believed when it is signed, once, in any order."""

import itertools
from datetime import timedelta

import pytest

from infra.http.principal import RoleGrant
from tests.support.api import refusal
from tests.support.subscriptions import event_body, signed_headers

_numbers = itertools.count(1)
OTHER_SECRET = "whsec_" + "B" * 32


@pytest.fixture
def student(api):
    return api.person()


@pytest.fixture
def provider(api):
    return api.client()


def message_id():
    return f"msg_{next(_numbers)}"


def sent(api, provider, body, *, id_=None, **changed):
    headers = {**signed_headers(id_ or message_id(), body, api.clock()), **changed}
    return provider.post("/webhooks/payments", content=body, headers=headers)


def paid(api, user_id, *, days_ago=0.0, until_days=30.0, kind="renewed", **data):
    now = api.clock()
    data = {"plan": "premium", "paid_until": (now + timedelta(days=until_days)).isoformat(), **data}
    return event_body(f"subscription.{kind}", user_id, now - timedelta(days=days_ago), **data)


def cancelled(api, user_id, *, days_ago=0.0):
    return event_body("subscription.cancelled", user_id, api.clock() - timedelta(days=days_ago))


def own(person, after):
    headers = {"Consistency-Token": after.headers["Consistency-Token"]}
    return person.http.get("/users/me/subscription", headers=headers).json()


def subscription_of(api, student):
    return api.run(api.write.claims.holder("subscription", student.user_id))


def test_a_signed_payment_opens_the_subscription_of_the_person(api, provider, student):
    answer = sent(api, provider, paid(api, student.user_id, payment_ref="order 7"), id_="msg_first")
    assert (answer.status_code, answer.json()) == (200, {"outcome": "applied"})
    assert own(student, answer)["status"] == "active"
    [recorded] = api.recorded(subscription_of(api, student))
    assert (recorded.metadata.actor.kind, recorded.metadata.actor.id) == ("service", "payments")
    assert recorded.metadata.zone_id == "univprep"
    event = recorded.event
    assert (event.source, event.payment_event_id, event.payment_ref) == ("webhook", "msg_first", "order 7")


def test_sent_again_it_is_answered_well_and_has_no_effect(api, provider, student):
    body, id_ = paid(api, student.user_id), message_id()
    first, second = (sent(api, provider, body, id_=id_) for _ in range(2))
    assert (first.json()["outcome"], second.json()["outcome"]) == ("applied", "no_effect")
    assert second.status_code == 200
    assert len(api.events(subscription_of(api, student))) == 1


def test_the_same_message_ten_times_at_once_counts_once(api, student):
    body, id_ = paid(api, student.user_id), message_id()
    headers = signed_headers(id_, body, api.clock())
    request = {"method": "POST", "url": "/webhooks/payments", "content": body, "headers": headers}
    answers = api.at_once([request] * 10)
    assert [answer.status_code for answer in answers] == [200] * 10
    assert sorted(answer.json()["outcome"] for answer in answers).count("applied") == 1
    assert len(api.events(subscription_of(api, student))) == 1


def test_an_older_message_that_comes_later_undoes_nothing(api, provider, student):
    sent(api, provider, paid(api, student.user_id, days_ago=5, until_days=25))
    ended = sent(api, provider, cancelled(api, student.user_id, days_ago=1))
    older = sent(api, provider, paid(api, student.user_id, days_ago=3, until_days=20, plan="basic"))
    assert older.json() == {"outcome": "no_effect"} or own(student, older)["status"] == "cancelled"
    assert own(student, ended)["status"] == "cancelled"
    stale = sent(api, provider, cancelled(api, student.user_id, days_ago=9))
    assert stale.json() == {"outcome": "no_effect"}


def test_a_cancellation_that_overtakes_the_payment_is_sent_again(api, provider, student):
    early = cancelled(api, student.user_id, days_ago=1)
    assert refusal(sent(api, provider, early, id_="msg_early")) == (404, "subscription-not-found")
    sent(api, provider, paid(api, student.user_id, days_ago=2))
    again = sent(api, provider, early, id_="msg_early")
    assert again.json() == {"outcome": "applied"}
    assert own(student, again)["status"] == "cancelled"


def test_a_message_of_a_type_that_is_not_for_us_is_taken_and_has_no_effect(api, provider, student):
    for kind in ("invoice.created", "subscription.paused"):
        body = event_body(kind, student.user_id, api.clock(), whatever=[1])
        assert sent(api, provider, body).json() == {"outcome": "no_effect"}


def test_what_a_provider_adds_does_no_harm(api, provider, student):
    body = paid(api, student.user_id, currency="KRW", amount=9900)
    assert sent(api, provider, body).json() == {"outcome": "applied"}


def test_a_payment_for_somebody_unknown_is_refused_so_that_it_is_sent_again(api, provider):
    nobody = "user-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
    assert refusal(sent(api, provider, paid(api, nobody))) == (404, "user-not-found")


def test_what_is_not_signed_is_not_even_parsed(api, provider, student):
    body = paid(api, student.user_id)
    wrong = signed_headers(message_id(), body, api.clock(), OTHER_SECRET)
    old = signed_headers(message_id(), body, api.clock() - timedelta(seconds=301))
    ahead = signed_headers(message_id(), body, api.clock() + timedelta(seconds=305))
    other = signed_headers(message_id(), b"{}", api.clock())
    for headers in ({}, wrong, old, ahead, other):
        answer = provider.post("/webhooks/payments", content=body, headers=headers)
        assert refusal(answer) == (401, "webhook-refused")
    assert refusal(provider.post("/webhooks/payments", content=b"\xff{not json")) == (401, "webhook-refused")
    assert subscription_of(api, student) is None


def test_no_token_stands_for_a_signature(api, student):
    token = api.token("user-admin", RoleGrant("sys_admin"))
    answer = api.client(token).post("/webhooks/payments", content=paid(api, student.user_id))
    assert refusal(answer) == (401, "webhook-refused")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", "#"),
        (b"{", "#"),
        (b"\xff\xfe", "#"),
        (b"[" * 100_000, "#"),
        (b"null", "#"),
        (b"[]", "#"),
        (b"{}", "#/type"),
        (b'{"type": 7}', "#/type"),
        (b'{"type": "subscription.renewed"}', "#/timestamp"),
        (b'{"type": "subscription.renewed", "timestamp": "now", "data": {}}', "#/timestamp"),
    ],
)
def test_what_is_signed_and_is_no_payment_event_is_refused_with_reasons(api, provider, body, pointer):
    answer = sent(api, provider, body)
    assert refusal(answer) == (422, "unusable-payment-event")
    assert pointer in [each["pointer"] for each in answer.json()["errors"]]


@pytest.mark.parametrize("missing", ["plan", "paid_until"])
def test_a_payment_says_for_what_and_until_when(api, provider, student, missing):
    body = paid(api, student.user_id, **{missing: None})
    answer = sent(api, provider, body)
    assert refusal(answer) == (422, "unusable-payment-event")
    assert [each["pointer"] for each in answer.json()["errors"]] == [f"#/data/{missing}"]
    assert subscription_of(api, student) is None


def test_other_spellings_of_the_content_type_do_not_matter(api, provider, student):
    body = paid(api, student.user_id)
    answer = sent(api, provider, body, **{"content-type": "text/plain"})
    assert answer.json() == {"outcome": "applied"}
