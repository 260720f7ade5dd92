"""What must never reach a log line or a screen: secrets and personal data."""

import re
from collections.abc import Mapping
from typing import Any

SENSITIVE_KEYS = frozenset(
    {
        "authorization",
        "cookie",
        "display_name",
        "email",
        "e_mail",
        "full_name",
        "given_name",
        "password",
        "phone",
        "secret",
        "token",
    }
)
_SENSITIVE_ENDINGS = ("_authorization", "_cookie", "_email", "_password", "_secret", "_token")
_SENSITIVE_BEGINNINGS = ("password_", "email_")

# postgresql://user:password@host, up to the last @ before the path: a password may itself hold an @.
_URL_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^\s:/@\"']*:)[^\s/\"']*@", re.IGNORECASE)
# password=..., in a libpq connection string or a URL's query.
_NAMED_PASSWORD = re.compile(r"(?P<before>\bpassword\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s&']+)", re.IGNORECASE)


def is_sensitive(key: str) -> bool:
    """Whether a log field of this name holds a secret or personal data."""
    name = key.casefold().replace("-", "_")
    return (
        name in SENSITIVE_KEYS or name.endswith(_SENSITIVE_ENDINGS) or name.startswith(_SENSITIVE_BEGINNINGS)
    )


def without_sensitive(value: Any) -> Any:
    """`value` without the sensitive keys of the mappings in it, however deep."""
    match value:
        case Mapping():
            return {k: without_sensitive(v) for k, v in value.items() if not is_sensitive(str(k))}
        case list() | tuple():
            return [without_sensitive(each) for each in value]
        case str():
            return mask_passwords(value)
        case _:
            return value


def mask_passwords(text: str) -> str:
    """`text` with the passwords of the URLs and connection strings in it replaced by `***`."""
    if "://" in text:
        text = _URL_PASSWORD.sub(r"\g<before>***@", text)
    if "password" in text.lower():
        text = _NAMED_PASSWORD.sub(r"\g<before>***", text)
    return text
