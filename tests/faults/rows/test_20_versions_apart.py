"""Row 20: the services are of different versions. Unknown fields are ignored, an unknown major version is given up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aio_pika.abc import AbstractChannel

from shared.messaging.amqp import AmqpBus, dead_letters
from shared.messaging.amqp import bus as amqp_bus
from shared.messaging.amqp.messages import outgoing
from shared.messaging.bus import Message
from shared.messaging.topology import SUBSCRIPTIONS, Subscription, events_exchange, process_of
from tests import edge_keys
from tests.builders import account_changed, message
from tests.faults.rows.promises import Promises
from tests.faults.rows.users_beside import users
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.integration.conftest import operator
from tests.polling import eventually

__all__ = ("operator", "users")

Change = Callable[[Message], Message]


def of_tomorrow(sent: Message) -> Message:
    body = json.loads(sent.body) | {"a_field_of_tomorrow": {"nested": [1, None]}}
    return edge_keys.ALL.signed(replace(sent, body=json.dumps(body).encode()))


def of_yesterday(sent: Message) -> Message:
    """Before messages said when they were published."""
    return edge_keys.ALL.signed(replace(sent, published_at=None))


@pytest.mark.parametrize("change", [of_tomorrow, of_yesterday])
async def test_a_code_its_report_and_an_account_of_another_release_are_understood(
    path: CodesPath, promises: Promises, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    def outgoing_of_another_release(sent: Message, **more: Any) -> Any:
        return outgoing(change(sent), **more)

    monkeypatch.setattr(amqp_bus, "outgoing", outgoing_of_another_release)
    await path.start_notifier()
    (promise,) = await promises.several(1)
    await eventually(lambda: _delivered(path, promise.temporary), PATIENCE)
    account = account_changed(path.keys.account_sealer, is_2fa=False)
    users = AmqpBus(path.amqp_url)
    await users.publish(message(account))
    await users.close()

    async def known() -> bool:
        return (await path.auth.log_in(account.username)).status_code == 200

    await eventually(known, PATIENCE)
    await promises.kept()


async def _delivered(path: CodesPath, temporary: str) -> bool:
    return await path.status(temporary) == "delivered"


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("subscription", SUBSCRIPTIONS, ids=lambda each: each.queue)
async def test_an_event_of_the_next_major_version_is_kept_for_who_understands_it_and_others_flow(
    path: CodesPath, promises: Promises, operator: AbstractChannel, subscription: Subscription
) -> None:
    await path.start_notifier()
    understood = subscription.routing_keys[0]
    next_major = understood.replace(".v1", ".v2")
    queue = await operator.get_queue(subscription.queue)
    await queue.bind(events_exchange(process_of(next_major)), next_major)  # as the next release would
    new = Message(routing_key=next_major, body=b'{"event_id": "x"}', event_id="from tomorrow", correlation_id="c")
    bus = AmqpBus(path.amqp_url)
    await bus.publish(new)
    await bus.close()

    async def kept() -> Any:
        return await dead_letters.list(path.amqp_url)

    (letter,) = await eventually(kept, PATIENCE)

    assert (letter.queue, letter.event_id, letter.event_type) == (subscription.queue, "from tomorrow", next_major)
    assert letter.reason == "forged or unsigned"  # this release knows no edge of it
    assert letter.attempts == 1
    await promises.several(1)
    await promises.kept()
    await queue.unbind(events_exchange(process_of(next_major)), next_major)
