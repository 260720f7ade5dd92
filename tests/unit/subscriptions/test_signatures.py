"""Signed webhooks: the published example, and everything that is not to be believed."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from infra.payments.signatures import UnusableSecret, WrongSignature, secret_of, sign, verify
from infra.payments.webhooks import SignedWebhooks, UnusableSecretsFile
from tests.support.subscriptions import SECRET, signed_headers

OTHER_SECRET = "whsec_" + "A" * 32

# The example of the Standard Webhooks libraries.
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = datetime.fromtimestamp(TIMESTAMP, UTC)
HEADERS = {"webhook-id": ID, "webhook-timestamp": str(TIMESTAMP), "webhook-signature": SIGNATURE}
KEYS = [secret_of(SECRET)]


def refused(headers=HEADERS, body=BODY, now=NOW, keys=KEYS):
    with pytest.raises(WrongSignature) as refusal:
        verify(keys, headers, body, now)
    return str(refusal.value)


def test_the_published_example_is_signed_as_published():
    assert sign(KEYS[0], ID, TIMESTAMP, BODY) == SIGNATURE
    message = verify(KEYS, HEADERS, BODY, NOW)
    assert (message.message_id, message.body) == (ID, BODY)


def test_a_body_that_was_parsed_and_written_again_is_not_what_was_signed():
    assert "no signature" in refused(body=json.dumps(json.loads(BODY), separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(TIMESTAMP + 1)},
        {"webhook-signature": SIGNATURE[:-2] + "A="},
        {"webhook-signature": SIGNATURE.removeprefix("v1,")},
        {"webhook-signature": "v1a" + SIGNATURE.removeprefix("v1")},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "ÿ" * 50},
    ],
)
def test_whatever_is_changed_the_signature_is_wrong(changed):
    assert "no signature" in refused({**HEADERS, **changed})


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_of_the_three_headers_is_needed(name):
    assert name in refused({key: value for key, value in HEADERS.items() if key != name})


@pytest.mark.parametrize("timestamp", ["", "now", "-1", "1e9", "١٦١٤٢٦٥٣٣٠", "9" * 400, " 1614265330"])
def test_a_timestamp_is_a_number_of_seconds(timestamp):
    assert "webhook-timestamp" in refused({**HEADERS, "webhook-timestamp": timestamp})


@pytest.mark.parametrize("message_id", ["", "a.b", "x" * 256, "ä"])
def test_an_id_cannot_move_the_border_between_the_signed_parts(message_id):
    assert "webhook-id" in refused({**HEADERS, "webhook-id": message_id})


@pytest.mark.parametrize("sign_", [1, -1])
def test_five_minutes_are_tolerated_either_way_and_no_more(sign_):
    verify(KEYS, HEADERS, BODY, NOW + sign_ * timedelta(seconds=300))
    assert "webhook-timestamp" in refused(now=NOW + sign_ * timedelta(seconds=301))


def test_with_another_secret_or_with_none_nothing_is_believed():
    assert "no signature" in refused(keys=[secret_of(OTHER_SECRET)])
    assert "no signature" in refused(keys=[])


def test_while_secrets_change_either_of_them_will_do_on_either_side():
    old, new = secret_of(OTHER_SECRET), KEYS[0]
    verify([old, new], HEADERS, BODY, NOW)
    both = signed_headers(ID, BODY, NOW, OTHER_SECRET, SECRET)
    verify([new], both, BODY, NOW)
    verify([old], both, BODY, NOW)


def test_signatures_of_other_kinds_beside_the_right_one_do_no_harm():
    verify(KEYS, {**HEADERS, "webhook-signature": f"v1a,AAAA v2,BBBB {SIGNATURE}"}, BODY, NOW)


@pytest.mark.parametrize(
    "text", ["", SECRET.removeprefix("whsec_"), "whsec_*", "whsec_AAAA", "whsec_" + "A" * 100]
)
def test_what_is_no_secret_is_refused(text):
    with pytest.raises(UnusableSecret):
        secret_of(text)


def test_a_file_holds_a_secret_a_line_and_a_change_needs_no_restart(tmp_path):
    path = tmp_path / "payments"
    path.write_text(f"# of the provider\n\n{OTHER_SECRET}  # until April\n")
    webhooks = SignedWebhooks(path)
    with pytest.raises(WrongSignature):
        webhooks.verify(HEADERS, BODY, NOW)
    path.write_text(f"{OTHER_SECRET}\n{SECRET}\n")
    assert webhooks.verify(HEADERS, BODY, NOW).message_id == ID
    path.write_text(f"{OTHER_SECRET}\n")
    with pytest.raises(WrongSignature):
        webhooks.verify(HEADERS, BODY, NOW)


def test_a_file_that_is_spoilt_later_leaves_the_secrets_that_were_there(tmp_path):
    path = tmp_path / "payments"
    path.write_text(SECRET)
    webhooks = SignedWebhooks(path)
    path.write_text("not a secret at all")
    assert webhooks.verify(HEADERS, BODY, NOW).message_id == ID
    path.unlink()
    assert webhooks.verify(HEADERS, BODY, NOW).message_id == ID


def test_without_a_file_nothing_is_believed():
    with pytest.raises(WrongSignature):
        SignedWebhooks(None).verify(HEADERS, BODY, NOW)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "no secret"), (b"# nothing\n", "no secret"), (b"\xff\xfe", "UTF-8"), (b"hunter2", "line 1")],
)
def test_a_file_that_cannot_be_used_stops_the_start_and_is_not_repeated(tmp_path, content, why):
    path = tmp_path / "payments"
    path.write_bytes(content)
    with pytest.raises(UnusableSecretsFile, match=why) as refusal:
        SignedWebhooks(path)
    assert "hunter2" not in str(refusal.value)


def test_a_file_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(UnusableSecretsFile, match="cannot be read"):
        SignedWebhooks(tmp_path / "nowhere")
