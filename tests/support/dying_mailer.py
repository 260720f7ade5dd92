"""Sends what waits in the outbox, in a process that is killed between sending and noting it.

python -m tests.support.dying_mailer CONNINFO VAR_DIR SMTP_PORT
"""

import asyncio
import os
import signal
import sys
from email.message import EmailMessage
from pathlib import Path

from infra.auth.opening import outbox_worker
from infra.composition import open_services
from infra.database import Database
from infra.observability.metrics import new_registry
from infra.outbox.senders import Sender
from infra.settings import Settings
from tests.support.postgres import ROLE_SECRET


class DyingSender:
    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def send(self, mail_id: str, message: EmailMessage) -> None:
        self._sender.send(mail_id, message)
        os.kill(os.getpid(), signal.SIGKILL)


def by_smtp(port: int) -> dict[str, object]:
    return {
        "sender": "smtp",
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_security": "none",
        "from_address": "no-reply@school.example",
        "site_url": "https://school.example",
    }


async def _send(conninfo: str, var_dir: Path, port: int) -> None:
    settings = Settings(var_dir=var_dir, mail=by_smtp(port))
    database = Database(admin_conninfo=conninfo, role_secret=ROLE_SECRET)
    async with open_services(settings, database, new_registry()) as services:
        worker = outbox_worker(settings, services.sign_in, services.write)
        worker._sender = DyingSender(worker._sender)
        await worker.send_due()


if __name__ == "__main__":
    asyncio.run(_send(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
