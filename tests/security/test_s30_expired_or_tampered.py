"""S30: a code that has expired is not mailed, and neither is one whose event was tampered with.

Each holds for the codes of logins and for those that prove an address.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared.messaging.address_events import CodeRequested
from shared.messaging.bus import Delivery, Done, GiveUp, Handler
from shared.messaging.events import OtpRequested
from shared.messaging.topology import ACCOUNT_CODES, OTP_DELIVERY
from shared.sealing import Sealer
from tests import edge_keys
from tests.builders import code_requested, delivery, otp_requested
from tests.composed import Keys, keys
from tests.composed_notifier import running_notifier
from tests.servers.mail import MailSink

__all__ = ("keys",)

LIFETIME = 240.0
UNSEALABLE = GiveUp("Unsealable: InvalidToken")
SEALED_FOR_ANOTHER = GiveUp("Unsealable: sealed for another event")

Request = OtpRequested | CodeRequested


@dataclass(frozen=True)
class Codes:
    """One kind of codes, and the notifier's handler of them."""

    kind: str
    sealer: Sealer
    handler: Handler

    def requested(self, **fields: Any) -> Request:
        return (otp_requested if self.kind == "login" else code_requested)(self.sealer, **fields)

    async def mail(self, event: Request) -> object:
        return await self.handler(delivery(event))


@pytest.fixture(params=["login", "account"])
async def codes(request: pytest.FixtureRequest, keys: Keys, mail_sink: MailSink) -> AsyncIterator[Codes]:
    queue, sealer = {
        "login": (OTP_DELIVERY.queue, keys.otp_sealer),
        "account": (ACCOUNT_CODES.queue, keys.mailed_sealer),
    }[request.param]
    async with running_notifier(keys, queue=queue, smtp_port=mail_sink.port) as handler:
        yield Codes(request.param, sealer, handler)


def stamped(event: Request, at: datetime) -> Delivery:
    """As the relay publishes it when the database's clock says `at`, and on its way for no time."""
    sent = replace(delivery(event), published_at=at, fresh=True)
    return replace(sent, mac=edge_keys.ALL.signed(sent).mac)


async def test_a_code_that_has_expired_is_not_mailed(codes: Codes, mail_sink: MailSink) -> None:
    for lives in (0.0, -1.0, -LIFETIME):
        assert await codes.mail(codes.requested(lives=lives)) == Done()

    assert mail_sink.connections == 0


@pytest.mark.parametrize("apart", [-3600, 0, 3600], ids=["an hour behind", "the same", "an hour ahead"])
async def test_it_expires_by_the_databases_clock_whatever_the_notifiers_says(
    codes: Codes, mail_sink: MailSink, apart: int
) -> None:
    databases_now = datetime.now(UTC) + timedelta(seconds=apart)
    ends = {"late": databases_now - timedelta(seconds=1), "good": databases_now + timedelta(seconds=60)}
    orders = {
        name: codes.requested(
            email=f"{name}@example.org", requested_at=end - timedelta(seconds=LIFETIME), expires_at=end
        )
        for name, end in ends.items()
    }

    for order in orders.values():
        assert await codes.handler(stamped(order, databases_now)) == Done()

    assert [mail.recipients for mail in mail_sink.received] == [["good@example.org"]]


async def test_a_change_of_any_bit_of_a_sealed_code_is_given_up(codes: Codes, mail_sink: MailSink) -> None:
    event = codes.requested()
    sealed = base64.urlsafe_b64decode(event.sealed_code)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1 << position % 8
        tampered = event.model_copy(update={"sealed_code": base64.urlsafe_b64encode(changed).decode()})

        assert await codes.mail(tampered) == UNSEALABLE, position
    assert mail_sink.connections == 0


@pytest.mark.parametrize("sealed", ["", "519273", "K7X9M2Q4TZ", "gAAAAA==", "\u0661" * 120, "A" * 100_000])
async def test_what_is_no_sealed_code_at_all_is_given_up(codes: Codes, mail_sink: MailSink, sealed: str) -> None:
    outcome = await codes.mail(codes.requested().model_copy(update={"sealed_code": sealed}))

    assert isinstance(outcome, GiveUp)
    assert outcome.reason.startswith("Unsealable: ")
    assert mail_sink.connections == 0


async def test_codes_of_two_events_do_not_change_places(codes: Codes, mail_sink: MailSink) -> None:
    one, other = codes.requested(), codes.requested()

    for event, foreign in ((one, other), (other, one)):
        swapped = event.model_copy(update={"sealed_code": foreign.sealed_code})
        assert await codes.mail(swapped) == SEALED_FOR_ANOTHER
    assert mail_sink.connections == 0


async def test_a_code_under_the_name_of_another_event_or_of_another_field_is_given_up(
    codes: Codes, mail_sink: MailSink
) -> None:
    event = codes.requested()
    of_another_field = codes.sealer.seal("519273", f"{event.event_id}:password_hash")

    for changes in ({"event_id": uuid4()}, {"sealed_code": of_another_field}):
        assert await codes.mail(event.model_copy(update=changes)) == SEALED_FOR_ANOTHER
    assert mail_sink.connections == 0


@pytest.mark.parametrize("codes", ["account"], indirect=True)
async def test_an_account_code_is_mailed_to_no_other_mailbox_for_no_other_purpose_and_no_longer_than_it_was_made_for(
    codes: Codes, mail_sink: MailSink
) -> None:
    event = codes.requested(purpose="verify")

    for changes in (
        {"email": "mallory@example.net"},
        {"purpose": "reset"},
        {"code_id": uuid4()},
        {"account_id": uuid4()},
        {"account_id": None},
        {"expires_at": event.expires_at + timedelta(days=1)},
    ):
        assert await codes.mail(event.model_copy(update=changes)) == SEALED_FOR_ANOTHER, changes
    assert mail_sink.connections == 0
