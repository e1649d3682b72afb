"""What the real code of the event path meets in the model instead of a clock, RabbitMQ and a mail server."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from services.notifier import app as notifier
from services.notifier.settings import NotifierSettings
from shared.configuration.settings import load
from shared.sealing import Sealer
from tests import edge_keys
from tests.model.connections import MemoryConnection
from tests.model.mail_server import MemorySmtp
from tests.model.processes import Notifier, Process
from tests.model.simulated_time import simulated_clocks, this_process

_SEALING_KEY = Fernet.generate_key().decode()
SETTINGS = load(
    NotifierSettings,
    **edge_keys.settings_of("notifier"),
    rabbitmq_url="amqp://not-used",
    otp_sealing_keys=_SEALING_KEY,
    smtp_security="none",
    notifier_concurrency=2,  # few enough that a queue can have a backlog
)
SEALER = Sealer([_SEALING_KEY])

Log = list[MutableMapping[str, Any]]


@contextmanager
def real_code_in_a_simulated_world() -> Iterator[Log]:
    """Every `EventPath` lives in such a block: the clock, aio-pika's Connection and aiosmtplib are the model's."""

    def connection(*_: object, **__: object) -> MemoryConnection:
        process = this_process.get()
        assert isinstance(process, Process)
        return process.connection()

    def smtp(**_: object) -> MemorySmtp:
        process = this_process.get()
        assert isinstance(process, Notifier)
        return MemorySmtp(process.mail_server)

    with ExitStack() as stack:
        stack.enter_context(simulated_clocks())
        stack.enter_context(patch("shared.messaging.amqp.broker.Connection", connection))
        stack.enter_context(patch("aiosmtplib.SMTP", smtp))
        # Its signs of life carry no code, and would be most of what happens.
        stack.enter_context(patch.object(notifier, "signs_of_life", lambda *_: nullcontext()))
        yield stack.enter_context(capture_logs())
