"""A mail server that keeps what it is given: enough of SMTP (RFC 5321) for `smtplib`."""

import base64
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default


@dataclass
class MailServer:
    """`refusals` are answers to the next mails, in place of accepting them."""

    port: int = 0
    taken: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    signed_in: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def letters(self) -> list[EmailMessage]:
        found = [message_from_bytes(each, policy=default) for each in self.taken]
        return [each for each in found if isinstance(each, EmailMessage)]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, kept: MailServer) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.kept = kept


class _Conversation(socketserver.StreamRequestHandler):
    @property
    def _kept(self) -> MailServer:
        assert isinstance(self.server, _Server)
        return self.server.kept

    def handle(self) -> None:
        self._say("220 ready")
        while line := self.rfile.readline():
            word, _, rest = line.decode("ascii").strip().partition(" ")
            if word.upper() == "QUIT":
                self._say("221 bye")
                return
            self._answer(word.upper(), rest)

    def _answer(self, word: str, rest: str) -> None:
        if word == "EHLO":
            self._say("250-here\r\n250 AUTH PLAIN")
        elif word == "AUTH":
            _, name, _ = base64.b64decode(rest.split()[1]).decode().split("\0")
            self._kept.signed_in.append(name)
            self._say("235 signed in")
        elif word == "RCPT" and self._kept.refusals:
            self._say(self._kept.refusals.pop(0))
        elif word == "RCPT":
            self._kept.recipients.append(rest.partition("<")[2].partition(">")[0])
            self._say("250 ok")
        elif word == "DATA":
            self._say("354 go on")
            self._kept.taken.append(self._letter())
            self._say("250 taken")
        else:
            self._say("250 ok")

    def _letter(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode("ascii"))


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Runs until the block ends."""
    kept = MailServer()
    with _Server(kept) as server:
        kept.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()
