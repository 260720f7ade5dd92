"""People who register, sign in and read their mail, over HTTP."""

import email
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from typing import Any

import httpx

from tests.support.api import PASSWORD, Api, bearer, eventually

OTHER_PASSWORD = "quite another password"
_numbers = itertools.count(1)


def new_email() -> str:
    return f"seoyeon-{next(_numbers)}@example.org"


def registration(**changes: Any) -> dict[str, Any]:
    return {
        "email": new_email(),
        "password": PASSWORD,
        "display_name": "이서연",
        "language": "ko",
        **changes,
    }


@dataclass(frozen=True)
class Account:
    user_id: str
    email: str


def registered(api: Api, **changes: Any) -> Account:
    body = registration(**changes)
    answer = api.client().post("/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    return Account(answer.json()["user_id"], body["email"])


def sign_in(api: Api, account: Account, password: str = PASSWORD, **request: Any) -> httpx.Response:
    return api.client().post("/auth/login", json={"email": account.email, "password": password}, **request)


def tokens(api: Api, account: Account, password: str = PASSWORD, **request: Any) -> dict[str, Any]:
    answer = sign_in(api, account, password, **request)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refresh(api: Api, refresh_token: str) -> httpx.Response:
    return api.client().post("/auth/refresh", json={"refresh_token": refresh_token})


def opens(api: Api, access_token: str) -> bool:
    """Whether a token is taken; it is refused with 401, or it is not refused."""
    answer = api.client().get("/auth/sessions", headers=bearer(access_token))
    assert answer.status_code in {200, 401}, answer.text
    return answer.status_code == 200


def letters(api: Api, address: str, page: str = "") -> Iterator[EmailMessage]:
    """What lies in the mail folder for an address; with `page`, what links to it."""
    for path in sorted(api.settings.mail_dir.glob("*.eml")):
        letter = email.message_from_bytes(path.read_bytes(), policy=default)
        assert isinstance(letter, EmailMessage)
        if letter["To"] == address and page in text_of(letter):
            yield letter


def text_of(letter: EmailMessage) -> str:
    body = letter.get_body()
    assert body is not None
    return str(body.get_content())


def link_token(letter: EmailMessage) -> str:
    """What the link in a letter holds behind the number sign."""
    found = re.search(r"#token=([A-Za-z0-9_-]{43})\b", text_of(letter))
    assert found is not None
    return found[1]


def mailed_token(api: Api, address: str, page: str, number: int = 1) -> str:
    """The token of the newest of so many letters, as soon as they are there."""
    found = eventually(lambda: len(all_ := list(letters(api, address, page))) >= number and all_)
    newest = max(found, key=lambda letter: str(letter["Message-ID"]))
    return link_token(newest)
