"""Row 19: messages that nobody can deal with, and a handler with a bug.

Each is given up with its reason, which an operator can list; others flow, and no consumer goes round in circles. When
the trouble is mended, what was given up can be replayed, and is a code that works (I1).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractChannel
from cryptography.fernet import Fernet
from prometheus_client import REGISTRY

from services.notifier.channel import Delivery
from services.notifier.smtp import SmtpChannel
from services.notifier.turns import Turn
from shared.messaging import handling
from shared.messaging.amqp import AmqpBus, dead_letters
from shared.messaging.bus import DeadLetter, Message
from shared.messaging.events import Event
from shared.messaging.topology import SUBSCRIPTIONS, Subscription
from shared.sealing import Sealer
from tests import edge_keys
from tests.builders import account_changed, code_requested, message, otp_requested
from tests.faults.rows.promises import Promises
from tests.faults.rows.users_beside import users
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.integration.conftest import operator
from tests.polling import eventually
from tests.stacks.program import Program

__all__ = ("operator", "users")

LogLines = Callable[[], list[dict[str, Any]]]

SECRET = "canary"
NO_EVENT = {
    "nothing": b"",
    "not JSON": f"{SECRET} \xff".encode("latin-1"),
    "not an object": f'["{SECRET}"]'.encode(),
    "not this event": f'{{"event_id": "{SECRET}"}}'.encode(),
    "deeper than a parser goes": b"[" * 100_000,
    "ten megabytes": b'"' + b"a" * 10_000_000 + b'"',
}


@pytest.fixture
async def bus(path: CodesPath) -> AsyncIterator[AmqpBus]:
    bus = AmqpBus(path.amqp_url)
    yield bus
    await bus.close()


async def letters(path: CodesPath, count: int) -> Sequence[DeadLetter]:
    """All there are, once there are so many."""

    async def enough() -> Sequence[DeadLetter]:
        found = await dead_letters.list(path.amqp_url)
        assert len(found) >= count, f"{len(found)} of {count}"
        return found

    found = await eventually(enough, PATIENCE)
    assert len(found) == count
    return found


def given_up() -> float:
    """As the metrics of the services say."""
    counts = (REGISTRY.get_sample_value("login2fa_given_up_total", {"queue": each.queue}) for each in SUBSCRIPTIONS)
    return sum(count or 0 for count in counts)


async def command(path: CodesPath, folder: Path, *arguments: str) -> str:
    """What `login2fa dead-letters ...` prints to an operator."""
    program = Program(
        "command", "dead-letters", *arguments, settings={"OPERATOR_RABBITMQ_URL": path.amqp_url}, folder=folder
    )
    program.log.unlink(missing_ok=True)
    program.start()
    assert await program.ended() == 0, program.output()
    return program.output()


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("subscription", SUBSCRIPTIONS, ids=lambda each: each.queue)
async def test_what_is_no_event_is_given_up_at_once_and_others_flow(
    path: CodesPath,
    promises: Promises,
    operator: AbstractChannel,
    bus: AmqpBus,
    log_lines: LogLines,
    subscription: Subscription,
) -> None:
    await path.start_notifier()
    await promises.several(1)
    before = given_up()
    kind, *_ = subscription.routing_keys
    for body in NO_EVENT.values():
        sent = Message(routing_key=kind, body=body, event_id=str(uuid4()), correlation_id="c")
        await bus.publish(edge_keys.ALL.signed(sent))
    stray = AmqpMessage(b"{}", type="somebody.did_something.v7")
    await operator.default_exchange.publish(stray, subscription.queue)
    await promises.several(3)

    found = await letters(path, len(NO_EVENT) + 1)

    await eventually(lambda: given_up() - before == len(found))
    assert {letter.queue for letter in found} == {subscription.queue}
    assert {letter.attempts for letter in found} == {1}
    reasons = {letter.event_type: letter.reason for letter in found}
    assert reasons.pop("somebody.did_something.v7") == "forged or unsigned"
    assert reasons.keys() == {kind}
    assert all(letter.reason.startswith(f"MalformedEvent: malformed {kind}: ") for letter in found[:-1])
    assert SECRET not in str(found) + str(log_lines())
    await promises.kept()
    nobody_went_round_in_circles(log_lines)


@pytest.mark.parametrize("make", [otp_requested, account_changed, code_requested])
async def test_what_is_sealed_with_an_unknown_key_is_given_up_and_others_flow(
    path: CodesPath,
    promises: Promises,
    bus: AmqpBus,
    log_lines: LogLines,
    make: Callable[[Sealer], Event],
) -> None:
    await path.start_notifier()
    await promises.several(1)
    event = make(Sealer([Fernet.generate_key().decode()]))
    await bus.publish(message(event))
    await promises.several(3)

    (letter,) = await letters(path, 1)

    assert (letter.event_type, letter.reason, letter.attempts) == (event.type, "Unsealable: InvalidToken", 1)
    await promises.kept()
    nobody_went_round_in_circles(log_lines)


async def test_a_code_that_a_bug_stopped_is_listed_and_when_the_bug_is_mended_replayed(
    path: CodesPath, promises: Promises, log_lines: LogLines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver, of_the_unlucky = SmtpChannel.deliver, await path.account()

    async def with_a_bug(channel: SmtpChannel, delivery: Delivery, turn: Turn) -> None:
        if delivery.email == of_the_unlucky.email:
            raise RuntimeError(f"{SECRET} {delivery.code}")
        await deliver(channel, delivery, turn)

    monkeypatch.setattr(SmtpChannel, "deliver", with_a_bug)
    monkeypatch.setattr(handling, "MAX_HANDLER_ERRORS", 2)
    await path.start_notifier()
    unlucky = await promises.log_in(of_the_unlucky)
    assert unlucky is not None
    for promise in await promises.several(3):
        await path.mails.wait_for(promise.email, timeout=PATIENCE)
    (letter,) = await letters(path, 1)
    assert (letter.reason, letter.attempts) == ("handler failed: RuntimeError", 2)
    assert path.mails.mails_to(unlucky.email) == []

    listed = await command(path, tmp_path, "list")
    monkeypatch.setattr(SmtpChannel, "deliver", deliver)
    replayed = await command(path, tmp_path, "replay", "--event-id", letter.event_id)

    assert f"{letter.event_id}  attempts=2" in listed
    assert "handler failed: RuntimeError\n1 dead letters" in listed
    assert replayed.strip() == "1 replayed"
    await promises.kept()
    assert SECRET not in listed + str(log_lines())
    assert "0 dead letters" in await command(path, tmp_path, "list")


async def test_a_code_that_the_mail_server_refused_can_be_replayed_as_long_as_it_lives(
    path: CodesPath, promises: Promises, tmp_path: Path
) -> None:
    path.mails.refuse("550 5.1.1 No such mailbox")
    await path.start_notifier()
    await promises.several(2)
    found = await letters(path, 2)
    assert all(letter.reason.startswith('RCPT: the mail server says "550 5.1.1 No such mailbox".') for letter in found)

    path.mails.accept()

    assert (await command(path, tmp_path, "replay", "--queue", "notifier.otp")).strip() == "2 replayed"
    await promises.kept()


def nobody_went_round_in_circles(log_lines: LogLines) -> None:
    said = {line["event"] for line in log_lines()}
    assert "message given up" in said
    assert not said & {"handler failed", "consumer failed", "consumer lost"}
