"""`--mail`: one mail goes the whole way, by outbox, broker, notifier and mail server, and its outcome is awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Row

from services.doctor.findings import Finding, fail, ok
from services.users import mail_test
from services.users.settings import UsersSettings

_OUTBOX: Final = "USERS_DATABASE_URL"
_BROKER: Final = "RABBITMQ_URL"
_MAIL: Final = "SMTP_HOST"

_DELIVERED: Final = "delivered"


async def mail(settings: UsersSettings, address: str, tell: Callable[[str], None]) -> Finding:
    """`tell` hears each step. Raises `AddressInvalid`, `TooManyRequests`, and what a database raises."""
    last = None
    async for state in mail_test.send(settings, address):
        tell(_step(state))
        last = state
    return _judged(last)


def _step(state: Row[Any]) -> str:
    if state.outcome is None:
        return f"{state.age:.1f} s: {'published to the broker' if state.published else 'in the outbox'}"
    outcome = {"deferred": "not yet delivered, tried again", "given_up": "refused"}.get(state.outcome, state.outcome)
    return f"{state.age:.1f} s: {outcome}{': ' if state.said else ''}{state.said}"


def _judged(state: Row[Any] | None) -> Finding:
    if state is None or not state.published:
        advice = "Look whether users runs, and what its log says of the outbox"
        return fail("mail", _OUTBOX, "the event is still in the outbox: no relay of users has published it", advice)
    if state.outcome is None:
        advice = "Look whether the notifier runs, and into its log; is there a dead letter?"
        return fail("mail", _BROKER, "the broker has it, and no report of a delivery has come", advice)
    if state.outcome == _DELIVERED:
        return ok("mail", _MAIL, f"delivered in {state.age:.1f} s: {state.said}. Look into the mailbox, and its spam")
    return fail("mail", _MAIL, _step(state), "docs/mail.md explains each stage")
