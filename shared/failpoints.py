"""Named places at which a test makes this very process die or stand still.

Nothing in the product can make one do anything: no setting, no variable, no function switches it on. A test starts
the service through an entry point of its own (tests/servers/with_failpoints.py), which sets `action`. Without that,
reaching a failpoint costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Failpoint = Literal[
    "login: before commit",  # challenge and event are written
    "login: committed",  # and nobody knows of it yet, not even the relay
    "relay: claimed",
    "relay: before delete",  # every message of the batch is confirmed
    "relay: deleted",  # and the deletion is not committed
    "publisher: confirmed",  # one message; others of the batch may still be on their way
    "settler: copied",  # the copy for a retry or the dead letters is confirmed, the original not acknowledged
    "notifier: before the channel",
    "notifier: delivered",  # the mail server has said 250
    "file: written",  # a line or, where the disk is full, the beginning of one; not yet synchronised
    "notifier: reported",  # auth has been told, the broker has no acknowledgement
]

action: Callable[[Failpoint], None] | None = None


def reach(failpoint: Failpoint) -> None:
    if action is not None:
        action(failpoint)
