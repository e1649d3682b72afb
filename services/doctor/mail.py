"""`--mail`: one mail goes the whole way, by outbox, broker, notifier and mail server, and its outcome is awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Row

from services.doctor.findings import Finding, fail, ok
from services.users import mail_test
from services.users.settings import UsersSettings

_WORDS: Final = {"deferred": "not delivered yet, and tried again", "given_up": "refused", "expired": "not in time"}


async def mail(settings: UsersSettings, address: str, tell: Callable[[str], None]) -> Finding:
    """`tell` hears each step. Raises `AddressInvalid`, `TooManyRequests`, and what a database raises."""
    published, last = False, None
    async for state in mail_test.send(settings, address):
        if not published:
            # A quick notifier reports before the relay has deleted the event.
            published = state.published or state.outcome is not None
            tell(f"{state.age:.1f} s: {'published to the broker' if published else 'in the outbox'}")
        if state.outcome is not None:
            tell(_told(state))
        last = state
    return _judged(last, settings)


def _told(state: Row[Any]) -> str:
    outcome = _WORDS.get(state.outcome, state.outcome)
    return f"{outcome} after {state.age:.1f} s{': ' if state.said else ''}{state.said}"


def _judged(state: Row[Any] | None, settings: UsersSettings) -> Finding:
    if state is None or (state.outcome is None and not state.published):
        advice = "Look whether users runs, and what its log says of the outbox"
        return fail("mail", "USERS_DATABASE_URL", "no relay of users has taken the event out of the outbox", advice)
    if state.outcome is None:
        advice = "Look whether the notifier runs, and into its log and the dead letters"
        variable = "RABBITMQ_URL" if settings.rabbitmq_url is not None else "RABBITMQ_URLS"
        return fail("mail", variable, "the broker has it, and no report of a delivery has come", advice)
    if state.outcome == "delivered":
        return ok("mail", "SMTP_HOST", f"{_told(state)}. Look into the mailbox, and among its spam")
    return fail("mail", "SMTP_HOST", _told(state), "docs/mail.md explains each stage")
