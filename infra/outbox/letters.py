"""What is written to people, in Korean and English; who reads neither gets English."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from types import MappingProxyType
from typing import Final

from commands.ports import MailKind
from domain.languages import Language

# Behind the number sign: browsers send that part to no server, so that no log holds it.
PAGES: Final[Mapping[MailKind, str]] = MappingProxyType(
    {"verify_email": "/verify-email", "password_reset": "/reset-password", "invitation": "/invitation"}
)


@dataclass(frozen=True, slots=True)
class Letter:
    subject: str
    text: str


# Who registers may name an address of somebody else: no word of theirs stands in the letter that goes there.
_KOREAN: Final[Mapping[MailKind, Letter]] = MappingProxyType(
    {
        "verify_email": Letter(
            "이메일 주소를 확인해 주세요",
            "안녕하세요.\n\n이 주소로 계정이 만들어졌습니다. "
            "아래 링크를 열어 주소를 확인해 주세요.\n"
            "링크는 3일 동안 한 번만 쓸 수 있습니다.\n\n{link}\n\n"
            "직접 가입하지 않으셨다면 이 메일을 무시하셔도 됩니다.\n",
        ),
        "password_reset": Letter(
            "비밀번호 재설정",
            "안녕하세요, {name}님.\n\n아래 링크에서 새 비밀번호를 정할 수 있습니다.\n"
            "링크는 30분 동안 한 번만 쓸 수 있습니다.\n\n{link}\n\n"
            "요청하지 않으셨다면 이 메일을 무시하세요. 비밀번호는 바뀌지 않습니다.\n",
        ),
        "password_changed": Letter(
            "비밀번호가 바뀌었습니다",
            "안녕하세요, {name}님.\n\n계정의 비밀번호가 방금 바뀌었고, 다른 곳의 로그인은 모두 끝났습니다.\n"
            "직접 바꾸지 않으셨다면 바로 비밀번호를 재설정해 주세요.\n",
        ),
        "role_review_due": Letter(
            "관리자 권한을 확인받아야 합니다",
            "안녕하세요, {name}님.\n\n"
            "{name}님의 관리자 권한은 다른 시스템 관리자가 확인하지 않으면 곧 끝납니다.\n"
            "직접 확인할 수는 없으니 다른 시스템 관리자에게 확인을 요청해 주세요.\n",
        ),
        "roles_to_confirm": Letter(
            "확인을 기다리는 관리자 권한이 있습니다",
            "안녕하세요, {name}님.\n\n다른 사람의 관리자 권한이 확인을 기다리고 있습니다. "
            "확인하지 않은 권한은 곧 끝납니다.\n확인이 필요한 권한의 목록을 살펴봐 주세요.\n",
        ),
        # The name in it is the organisation's: whether the address has an account nobody has looked.
        "invitation": Letter(
            "구성원으로 초대합니다",
            "안녕하세요.\n\n{name}에서 구성원으로 초대했습니다. 이 주소로 만든 계정으로 로그인하여\n"
            "14일 안에 아래 링크에서 초대를 수락해 주세요. 계정이 없다면 먼저 이 주소로 가입해 주세요.\n\n"
            "{link}\n\n수락하지 않으시려면 이 메일을 무시하셔도 됩니다.\n",
        ),
    }
)
_ENGLISH: Final[Mapping[MailKind, Letter]] = MappingProxyType(
    {
        "verify_email": Letter(
            "Please confirm your e-mail address",
            "Hello,\n\nan account was opened with this address. Open this link to confirm it.\n"
            "The link works once, for three days.\n\n{link}\n\n"
            "If you have not registered, you need not do anything.\n",
        ),
        "password_reset": Letter(
            "Set a new password",
            "Hello {name},\n\nwith this link you can set a new password.\n"
            "It works once, for 30 minutes.\n\n{link}\n\n"
            "If you have not asked for it, you need not do anything: your password stays as it is.\n",
        ),
        "password_changed": Letter(
            "Your password was changed",
            "Hello {name},\n\nthe password of your account has just been changed, and all other sign-ins "
            "have ended.\nIf that was not you, set a new password at once.\n",
        ),
        "role_review_due": Letter(
            "Your role as an administrator has to be confirmed",
            "Hello {name},\n\nyour role as an administrator ends soon unless another system administrator "
            "confirms it.\nYou cannot do that yourself: please ask one of them.\n",
        ),
        "roles_to_confirm": Letter(
            "Roles of administrators wait to be confirmed",
            "Hello {name},\n\nroles of other administrators wait to be confirmed, and end soon if nobody "
            "does.\nPlease look at the list of roles that are due.\n",
        ),
        "invitation": Letter(
            "You are invited to become a member",
            "Hello,\n\n{name} invites you to become a member. Sign in to the account that has this address\n"
            "and accept by this link within 14 days. If there is none, register with this address first.\n\n"
            "{link}\n\nIf you do not want to, you need not do anything.\n",
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """`site` is where people reach us: the part of links before the page."""

    sender: str
    site: str

    def letter(  # noqa: PLR0913 - what one mail is made of
        self,
        kind: MailKind,
        *,
        mail_id: str,
        address: str,
        name: str,
        language: Language,
        token: str | None,
        written_at: datetime,
    ) -> EmailMessage:
        """The mail; sent again it is the same, Message-ID and date included."""
        texts = (_KOREAN if language == "ko" else _ENGLISH)[kind]
        link = "" if token is None else f"{self.site}{PAGES[kind]}#token={token}"
        message = EmailMessage()
        message["Message-ID"] = f"<{mail_id}@{self.sender.rpartition('@')[2]}>"
        message["Date"] = format_datetime(written_at)
        message["From"] = self.sender
        message["To"] = address
        message["Subject"] = texts.subject
        message["Content-Language"] = "ko" if language == "ko" else "en"
        message["Auto-Submitted"] = "auto-generated"
        # Not `format`: a name is whatever its owner typed.
        message.set_content(texts.text.replace("{link}", link).replace("{name}", name), cte="base64")
        return message
