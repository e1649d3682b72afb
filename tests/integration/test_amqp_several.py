"""Several addresses of a broker, here two ways to the same one: what uses a way that falls silent takes the other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from aiormq.channel import Channel

from shared.messaging.amqp import broker, consumer, link, publisher
from shared.messaging.amqp.broker import Broker
from shared.messaging.amqp.link import Link
from shared.messaging.bus import BusUnavailable, Delivery, Done, Outcome
from shared.messaging.topology import OTP_DELIVERY
from tests.integration.conftest import NewBus
from tests.polling import eventually
from tests.recording import Recorder, otp_message
from tests.servers.tcp_proxy import TcpProxy

QUEUE = OTP_DELIVERY.queue


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, seconds in (
        (broker, "CONNECT_SECONDS", 1.0),
        (link, "SILENCE_SECONDS", 1.0),
        (publisher, "DOUBT_SECONDS", 0.3),
        (consumer, "WATCH_SECONDS", 0.3),
    ):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
async def ways(amqp_url: str) -> AsyncIterator[dict[int, TcpProxy]]:
    """By their ports."""
    proxies = [TcpProxy.to_broker(amqp_url) for _ in range(2)]
    async with AsyncExitStack() as stack:
        for proxy in proxies:
            await proxy.start()
            stack.push_async_callback(proxy.stop)
            stack.callback(proxy.resume)
        yield {proxy.port: proxy for proxy in proxies}


@pytest.fixture
def urls(ways: dict[int, TcpProxy], amqp_url: str) -> list[str]:
    return [way.url(amqp_url) for way in ways.values()]


def way_of(used: Link | None, ways: dict[int, TcpProxy]) -> TcpProxy:
    assert used is not None
    return ways[used.url.port or 0]


async def test_a_publisher_whose_way_falls_silent_takes_the_other_and_waits_for_no_heartbeat(
    new_bus: NewBus, ways: dict[int, TcpProxy], urls: list[str]
) -> None:
    bus, seen = new_bus(*urls, heartbeat=600), Recorder()
    await new_bus().consume(QUEUE, seen, concurrency=1)
    await bus.publish(otp_message("before"))
    silent = way_of(bus._publisher._link, ways)
    silent.stall()

    with pytest.raises(BusUnavailable, match="connection lost"):
        await bus.publish(otp_message("again"))
    await bus.publish(otp_message("again"))

    assert way_of(bus._publisher._link, ways) is not silent
    await eventually(lambda: seen.event_ids == {"before", "again"})
    silent.resume()  # what lay in it may come now: one more, and no third
    await bus.publish(otp_message("last"))
    await eventually(lambda: "last" in seen.event_ids)
    assert [delivery.event_id for delivery in seen.deliveries].count("again") <= 2


async def test_a_consumer_whose_way_falls_silent_takes_the_other_and_waits_for_no_heartbeat(
    new_bus: NewBus, ways: dict[int, TcpProxy], urls: list[str]
) -> None:
    seen = Recorder()
    consumption = await new_bus(*urls, heartbeat=600).consume(QUEUE, seen, concurrency=1)
    silent = way_of(consumption._link, ways)
    silent.stall()

    await eventually(lambda: consumption.live and way_of(consumption._link, ways) is not silent)
    silent.resume()  # else the broker goes on giving messages to a consumer that hears nothing
    await new_bus().publish(otp_message("after"))
    await eventually(lambda: seen.event_ids == {"after"})


@pytest.fixture
def frozen() -> Iterator[socket.socket]:
    """As a node that is frozen: connections to it are made, and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def connections_to(server: socket.socket) -> int:
    count = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


def url_of(server: socket.socket) -> str:
    return f"amqp://any:canary@127.0.0.1:{server.getsockname()[1]}/"


async def test_an_address_that_said_nothing_is_not_tried_again_while_another_answers(
    frozen: socket.socket, amqp_url: str
) -> None:
    several = Broker(url_of(frozen), amqp_url)
    for _ in range(12):  # it is not tried at all once in 4096 runs
        await (await several.connect("trial")).close()
    assert connections_to(frozen) == 1


async def test_when_none_answers_each_is_named_and_no_password(frozen: socket.socket) -> None:
    with pytest.raises(BusUnavailable) as refused:
        await Broker(url_of(frozen), "amqp://any:canary@127.0.0.1:1/").connect("trial")
    assert f"127.0.0.1:{frozen.getsockname()[1]}: no answer" in str(refused.value)
    assert "127.0.0.1:1: " in str(refused.value)
    assert "canary" not in str(refused.value)


async def test_a_publisher_renews_an_old_link_and_messages_in_flight_are_confirmed_on_it(new_bus: NewBus) -> None:
    bus, seen = new_bus(), Recorder()
    await new_bus().consume(QUEUE, seen, concurrency=50)
    await bus.publish(otp_message("first"))
    old = bus._publisher._link
    assert old is not None
    old._renew_at = 0

    await asyncio.gather(*(bus.publish(otp_message(f"{number}")) for number in range(50)))

    await eventually(lambda: bus._publisher._link is not old)
    await bus.publish(otp_message("last"))
    await eventually(lambda: "last" in seen.event_ids)
    assert len(seen.deliveries) == len(seen.event_ids) == 52


async def test_a_consumer_renews_an_old_link_and_interrupts_no_handler(new_bus: NewBus) -> None:
    go_on = asyncio.Event()

    async def slow(_: Delivery) -> Outcome:
        await go_on.wait()
        return Done()

    bus, seen = new_bus(), Recorder(slow)
    consumption = await bus.consume(QUEUE, seen, concurrency=2)
    old = consumption._link
    await bus.publish(otp_message("on the old one"))
    await eventually(lambda: seen.deliveries)
    assert old is not None
    old._renew_at = 0
    await eventually(lambda: consumption._link is not old)
    assert consumption.live

    await bus.publish(otp_message("on the new one"))
    go_on.set()
    await eventually(old.lost.is_set)
    await bus.publish(otp_message("last"))
    await eventually(lambda: "last" in seen.event_ids)
    assert [delivery.event_id for delivery in seen.deliveries] == ["on the old one", "on the new one", "last"]


async def test_a_link_that_can_not_be_renewed_is_kept(new_bus: NewBus, proxy: TcpProxy, proxied_url: str) -> None:
    seen = Recorder()
    bus = new_bus(proxied_url)
    consumption = await bus.consume(QUEUE, seen, concurrency=2)
    await bus.publish(otp_message("first"))
    old, publishing = consumption._link, bus._publisher._link
    assert old is not None
    assert publishing is not None
    proxy.refuse()
    old._renew_at = publishing._renew_at = 0

    await bus.publish(otp_message("second"))

    await eventually(lambda: not old.old and not publishing.old)
    await bus.publish(otp_message("third"))
    await eventually(lambda: "third" in seen.event_ids)
    assert (consumption._link, bus._publisher._link) == (old, publishing)
    assert len(seen.deliveries) == 3


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first channel gets no confirm, on a node that answers: as while the leader of the queue is frozen."""
    deaf: list[Channel] = []
    publish = Channel.basic_publish

    async def basic_publish(channel: Channel, body: bytes, **options: Any) -> Any:
        if not deaf:
            deaf.append(channel)
        if channel in deaf:
            await asyncio.Event().wait()
        return await publish(channel, body, **options)

    monkeypatch.setattr(Channel, "basic_publish", basic_publish)
    monkeypatch.setattr(publisher, "LEADERLESS_SECONDS", 0.6)
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 2.0)


@pytest.mark.usefixtures("deaf")
async def test_a_node_of_several_that_answers_and_confirms_nothing_gets_the_message_on_another_channel(
    new_bus: NewBus, urls: list[str]
) -> None:
    bus, seen = new_bus(*urls), Recorder()
    await new_bus().consume(QUEUE, seen, concurrency=1)

    with pytest.raises(BusUnavailable, match="connection lost"):
        await bus.publish(otp_message("stuck"))
    await bus.publish(otp_message("stuck"))

    await eventually(lambda: seen.event_ids == {"stuck"})


@pytest.mark.usefixtures("deaf")
async def test_the_only_node_may_be_slow_to_confirm(new_bus: NewBus) -> None:
    bus = new_bus()
    with pytest.raises(BusUnavailable, match="no answer within"):
        await bus.publish(otp_message("slow"))
    assert bus._publisher._link is not None
    assert not bus._publisher._link.lost.is_set()
