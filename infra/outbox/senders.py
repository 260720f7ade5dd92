"""Ways to send a mail: into a folder, or by SMTP."""

import os
import tempfile
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from infra.settings import MailSettings

if TYPE_CHECKING:
    from smtplib import SMTP

SMTP_LIMIT_S: Final = 20.0


class NotSent(Exception):
    """It may be sent later; the text says why not now, and holds no address."""


class Sender(Protocol):
    def send(self, mail_id: str, message: EmailMessage) -> None:
        """Blocks until it is handed over. Raises NotSent."""
        ...


class FolderSender:
    """Each mail becomes `<mail id>.eml`, whole or not at all; sent again, the same file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, mail_id: str, message: EmailMessage) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self._folder, prefix=".draft-")
            with os.fdopen(handle, "wb") as file:
                file.write(message.as_bytes())
            Path(draft).replace(self._folder / f"{mail_id}.eml")
        except OSError as error:
            raise NotSent(f"{self._folder} cannot be written to: {error.strerror}") from error


class SmtpSender:
    """One connection a mail: there are few of them."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    def send(self, mail_id: str, message: EmailMessage) -> None:
        del mail_id  # the Message-ID says it
        # Imported here: a process that sends nothing by SMTP starts without it.
        import smtplib

        try:
            with self._connected() as server:
                if self._settings.smtp_username is not None and self._settings.smtp_password is not None:
                    server.login(
                        self._settings.smtp_username, self._settings.smtp_password.get_secret_value()
                    )
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            # The text of a refusal quotes addresses.
            code = getattr(error, "smtp_code", None)
            raise NotSent(f"{type(error).__name__}{'' if code is None else f' ({code})'}") from error

    def _connected(self) -> "SMTP":
        import smtplib
        import ssl

        assert self._settings.smtp_host is not None
        place = (self._settings.smtp_host, self._settings.smtp_port)
        if self._settings.smtp_security == "tls":
            return smtplib.SMTP_SSL(*place, timeout=SMTP_LIMIT_S, context=ssl.create_default_context())
        server = smtplib.SMTP(*place, timeout=SMTP_LIMIT_S)
        try:
            if self._settings.smtp_security == "starttls":
                server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
        return server


def chosen_sender(settings: MailSettings, folder: Path) -> Sender:
    return SmtpSender(settings) if settings.sender == "smtp" else FolderSender(folder)
