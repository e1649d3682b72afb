"""Places where a test crashes or pauses the process. Only tests/servers/with_failpoints.py sets `action`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Failpoint = Literal[
    "login: before commit",  # challenge and event are written
    "login: committed",  # the answer is not sent, and the relay has not run yet
    "second step: before commit",  # challenge and proof are used, and the session is made
    "second step: committed",  # the answer is not sent
    "code request: before commit",  # an account code and its event are written
    "code request: committed",  # the answer is not sent, and the relay has not run yet
    "code use: before commit",  # the code is used, and what it proves is written
    "code use: committed",  # the answer is not sent
    "relay: claimed",
    "relay: before delete",  # every message of the batch is confirmed
    "relay: deleted",  # the deletion is not committed yet
    "publisher: confirmed",  # one message; others of the batch may be unconfirmed
    "settler: copied",  # the copy for a retry or the dead letters is confirmed, the original not acknowledged
    "notifier: before the channel",
    "notifier: delivered",  # the mail server has said 250
    "file: written",  # a line, or a part of it if the disk is full; not yet fsynced
    "notifier: reported",  # reported to auth, not yet acknowledged to the broker
]

action: Callable[[Failpoint], None] | None = None


def reach(failpoint: Failpoint) -> None:
    if action is not None:
        action(failpoint)
