"""S30: a code that has expired is not mailed, and neither is one whose event was tampered with."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.messaging.bus import Delivery, Done, GiveUp, Handler
from shared.messaging.events import OtpRequested
from tests import edge_keys
from tests.builders import delivery, otp_requested
from tests.composed import Keys, keys
from tests.composed_notifier import running_notifier
from tests.servers.mail import MailSink

__all__ = ("keys",)

LIFETIME = 240.0
UNSEALABLE = GiveUp("Unsealable: InvalidToken")


@pytest.fixture
async def notifier(keys: Keys, mail_sink: MailSink) -> AsyncIterator[Handler]:
    async with running_notifier(keys, smtp_port=mail_sink.port) as handler:
        yield handler


def stamped(event: OtpRequested, at: datetime) -> Delivery:
    """As the relay publishes it when the database's clock says `at`, and on its way for no time."""
    sent = replace(delivery(event), published_at=at, fresh=True)
    return replace(sent, mac=edge_keys.ALL.signed(sent).mac)


async def test_a_code_that_has_expired_is_not_mailed(keys: Keys, notifier: Handler, mail_sink: MailSink) -> None:
    for lives in (0.0, -1.0, -LIFETIME):
        assert await notifier(delivery(otp_requested(keys.otp_sealer, lives=lives))) == Done()

    assert mail_sink.connections == 0


@pytest.mark.parametrize("apart", [-3600, 0, 3600], ids=["an hour behind", "the same", "an hour ahead"])
async def test_it_expires_by_the_databases_clock_whatever_the_notifiers_says(
    keys: Keys, notifier: Handler, mail_sink: MailSink, apart: int
) -> None:
    databases_now = datetime.now(UTC) + timedelta(seconds=apart)
    ends = {"late": databases_now - timedelta(seconds=1), "good": databases_now + timedelta(seconds=60)}
    orders = {
        name: otp_requested(
            keys.otp_sealer,
            email=f"{name}@example.org",
            requested_at=end - timedelta(seconds=LIFETIME),
            expires_at=end,
        )
        for name, end in ends.items()
    }

    for order in orders.values():
        assert await notifier(stamped(order, databases_now)) == Done()

    assert [mail.recipients for mail in mail_sink.received] == [["good@example.org"]]


async def test_a_change_of_any_bit_of_a_sealed_code_is_given_up(
    keys: Keys, notifier: Handler, mail_sink: MailSink
) -> None:
    event = otp_requested(keys.otp_sealer)
    sealed = base64.urlsafe_b64decode(event.sealed_code)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1 << position % 8
        tampered = event.model_copy(update={"sealed_code": base64.urlsafe_b64encode(changed).decode()})

        assert await notifier(delivery(tampered)) == UNSEALABLE, position
    assert mail_sink.connections == 0


@pytest.mark.parametrize("sealed", ["", "519273", "gAAAAA==", "\u0661" * 120, "A" * 100_000])
async def test_what_is_no_sealed_code_at_all_is_given_up(
    keys: Keys, notifier: Handler, mail_sink: MailSink, sealed: str
) -> None:
    event = otp_requested(keys.otp_sealer).model_copy(update={"sealed_code": sealed})

    outcome = await notifier(delivery(event))

    assert isinstance(outcome, GiveUp)
    assert outcome.reason.startswith("Unsealable: ")
    assert mail_sink.connections == 0


async def test_codes_of_two_events_do_not_change_places(keys: Keys, notifier: Handler, mail_sink: MailSink) -> None:
    one, other = otp_requested(keys.otp_sealer), otp_requested(keys.otp_sealer)

    for event, foreign in ((one, other), (other, one)):
        swapped = event.model_copy(update={"sealed_code": foreign.sealed_code})
        assert await notifier(delivery(swapped)) == GiveUp("Unsealable: sealed for another event")
    assert mail_sink.connections == 0


async def test_a_code_under_the_name_of_another_event_or_of_another_field_is_given_up(
    keys: Keys, notifier: Handler, mail_sink: MailSink
) -> None:
    event = otp_requested(keys.otp_sealer)
    of_another_field = keys.otp_sealer.seal("519273", f"{event.event_id}:password_hash")

    for changes in ({"event_id": uuid4()}, {"sealed_code": of_another_field}):
        outcome = await notifier(delivery(event.model_copy(update=changes)))
        assert outcome == GiveUp("Unsealable: sealed for another event")
    assert mail_sink.connections == 0
