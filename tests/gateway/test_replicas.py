"""Replicas behind the gateway come, go and move; a client notices as little as can be."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.gateway.conftest import Start
from tests.gateway.gateway import Gateway
from tests.polling import wait_until
from tests.servers.upstream import Answer, upstream

# Nothing listens there.
DEAD = "127.0.0.9"
ASKED = 40


def ask(gateway: Gateway, method: str, path: str = "/api/v1/auth/x") -> int:
    return gateway.http.request(method, path).status_code


def test_a_replica_that_moved_is_found_again(start: Start) -> None:
    gateway = start()
    assert ask(gateway, "POST") == 200
    with upstream("127.0.0.2", gateway.auth.port) as moved:
        gateway.names.addresses["auth.test"] = ["127.0.0.2"]
        wait_until(lambda: ask(gateway, "GET") == 200 and moved.seen)


def test_a_service_that_was_not_there_at_first_is_found_when_it_comes(start: Start) -> None:
    gateway = start()
    gateway.names.addresses = {}
    assert ask(gateway, "GET") == 502
    gateway.names.addresses = {"auth.test": ["127.0.0.1"]}
    wait_until(lambda: ask(gateway, "GET") == 200)


def test_no_ipv6_address_is_looked_for_where_the_services_listen_on_ipv4_alone(start: Start) -> None:
    gateway = start()
    assert ask(gateway, "GET") == 200
    assert gateway.names.kinds == {1}


def test_every_replica_gets_its_share(start: Start) -> None:
    gateway = start()
    gateway.names.addresses["auth.test"] = ["127.0.0.1", "127.0.0.2"]
    with upstream("127.0.0.2", gateway.auth.port) as second:
        wait_until(lambda: ask(gateway, "POST") == 200 and len(gateway.auth.seen) > 3 and len(second.seen) > 3)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_a_request_to_a_replica_that_refuses_the_connection_goes_to_the_next(start: Start, method: str) -> None:
    gateway = start()
    gateway.names.addresses["auth.test"] = [DEAD, "127.0.0.1"]
    assert {ask(gateway, method) for _ in range(ASKED)} == {200}
    assert len(gateway.auth.seen) == ASKED
    assert f"{DEAD}:{gateway.auth.port}, 127.0.0.1:{gateway.auth.port}" in gateway.nginx.written()


@contextmanager
def taking_no_connection(port: int) -> Iterator[str]:
    """An address whose backlog is full: a connection is neither accepted nor refused, as of a machine that is gone."""
    address = ("127.0.0.3", port)
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(address)
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address[0]


def test_a_post_to_a_machine_that_is_gone_goes_to_the_next(start: Start) -> None:
    gateway = start()
    with taking_no_connection(gateway.auth.port) as gone:
        gateway.names.addresses["auth.test"] = [gone, "127.0.0.1"]

        def went_round() -> bool:
            assert ask(gateway, "POST") == 200
            return f"{gone}:{gateway.auth.port}, 127.0.0.1:{gateway.auth.port}" in gateway.nginx.written()

        wait_until(went_round, 30)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_post_that_reached_a_replica_is_not_sent_to_another(start: Start, method: str) -> None:
    gateway = start()
    gateway.names.addresses["auth.test"] = ["127.0.0.1", "127.0.0.2"]
    sent: dict[str, int] = {}
    with upstream("127.0.0.2", gateway.auth.port) as dying:
        dying.answers = lambda _seen: Answer(status=None)

        def both_were_asked() -> bool:
            path = f"/api/v1/auth/{len(sent)}"
            sent[path] = ask(gateway, method, path)
            return len(gateway.auth.seen) > 3 and len(dying.seen) > 3

        wait_until(both_were_asked)
        arrived = Counter(seen.target for seen in [*gateway.auth.seen, *dying.seen])
        assert arrived == dict.fromkeys(sent, 1)
        assert {path for path, status in sent.items() if status == 502} == {seen.target for seen in dying.seen}


def test_what_only_reads_is_asked_again_of_another_when_a_replica_dies_over_it(start: Start) -> None:
    gateway = start()
    gateway.names.addresses["auth.test"] = ["127.0.0.1", "127.0.0.2"]
    with upstream("127.0.0.2", gateway.auth.port) as dying:
        dying.answers = lambda _seen: Answer(status=None)
        wait_until(lambda: ask(gateway, "GET") == 200 and dying.seen)
