"""Three RabbitMQ nodes in a cluster, each on a machine of its own (`tests/servers/namespaces.py`): for root.

As `deploy/kubernetes/examples/rabbitmq-cluster.yaml` has it: the minority pauses, and a silent node counts as gone
after about 10 s. As a whole it is an `OwnBroker`: all of its nodes are killed, frozen and started together.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

import pytest

from tests.polling import wait_until
from tests.servers.namespaces import Switch, unavailable
from tests.servers.ports import free_ports
from tests.servers.rabbitmq import sbin
from tests.servers.rabbitmq_node import Member, NodeFailed, PrivateNode

COUNT = 3
NET_TICKTIME = 10  # a silent node is missed after 7.5 to 12.5 s
WHOLE_SECONDS = 120.0  # 2 s on a quiet machine
ALONE_SECONDS = 20.0  # after which a node that was silent is restarted; 4 to 7 s without a restart

_CONFIGURATION = """\
cluster_partition_handling = pause_minority
net_ticktime = {net_ticktime}
cluster_formation.peer_discovery_backend = classic_config
"""

_LEAD = """
[ra:transfer_leadership(amqqueue:get_pid(Queue), {{element(1, amqqueue:get_pid(Queue)), '{name}'}})
    || Queue <- rabbit_amqqueue:list(), amqqueue:get_type(Queue) =:= rabbit_quorum_queue].
"""
# Its clients go to another node; `[]` if it had none.
_CLOSE = '[rabbit_networking:close_connection(Client, "moved") || Client <- rabbit_networking:local_connections()].'


class Cluster:
    """`start`, and `remove` at the end; `nodes` are to be hurt one by one."""

    def __init__(self) -> None:
        self._switch = Switch(COUNT)
        self.nodes = [PrivateNode(sbin(), member) for member in self._members()]
        self.urls = [node.url for node in self.nodes]
        self.user = self.nodes[0].user
        self.url = self.urls[0]

    def _members(self) -> list[Member]:
        (epmd_port,) = free_ports(1)
        cookie, password = secrets.token_hex(16), secrets.token_hex(16)
        addresses = [self._switch.address(number) for number in range(COUNT)]
        configuration = _CONFIGURATION.format(net_ticktime=NET_TICKTIME) + "".join(
            f"cluster_formation.classic_config.nodes.{number} = rabbit@{address}\n"
            for number, address in enumerate(addresses, start=1)
        )
        return [
            Member(address, epmd_port, cookie, password, machine.prefix, configuration)
            for address, machine in zip(addresses, self._switch.machines, strict=True)
        ]

    def start(self) -> None:
        """Those that do not run; returns when all are members of one cluster."""
        self._at_once(PrivateNode.start, [node for node in self.nodes if not node.runs])
        self.until_whole()

    def until_whole(self) -> None:
        """All nodes see each other, as each of them says, and any of them may go: no queue lacks a member."""
        self._at_once(_sees_all)
        self._at_once(_may_go)

    def lead_all(self, node: PrivateNode) -> None:
        """`node` leads every queue, and every client is connected to it."""
        number = self.nodes.index(node)
        self.ctl("eval", _LEAD.format(name=node.name))
        others = self.nodes[:number] + self.nodes[number + 1 :]

        def alone() -> bool:
            return all([other.ctl("eval", _CLOSE).strip() == "[]" for other in others])  # noqa: C419 - each time on each

        wait_until(alone, WHOLE_SECONDS)

    def mend(self, node: PrivateNode) -> None:
        """Until all is well after `node` was silent: by a restart if need be, as an operator does it.

        A node that wakes up may find the others before it can pause: RabbitMQ 3.10 then leaves it in a partition.
        """
        try:
            _sees_all(node, ALONE_SECONDS)
        except NodeFailed:
            node.kill()
        self.start()

    def ctl(self, *arguments: str) -> str:
        """By a node that runs."""
        return next(node for node in self.nodes if node.runs).ctl(*arguments)

    def leader(self, queue: str) -> PrivateNode:
        said = self.ctl("--silent", "list_queues", "name", "leader")
        name = next(line.split("\t")[1] for line in said.splitlines() if line.split("\t")[0] == queue)
        return next(node for node in self.nodes if node.name == name)

    @asynccontextmanager
    async def apart(self, node: PrivateNode) -> AsyncIterator[None]:
        """Cut off from the others and from all clients, in silence, inside the block."""
        number = self.nodes.index(node)
        await asyncio.to_thread(self._switch.cut_off, number)
        try:
            yield
        finally:
            await asyncio.to_thread(self._switch.join, number)

    def stored(self) -> bytes:
        return b"".join(node.stored() for node in self.nodes)

    def kill(self) -> None:
        self._at_once(PrivateNode.kill)

    def freeze(self) -> None:
        self._at_once(PrivateNode.freeze)

    def thaw(self) -> None:
        self._at_once(PrivateNode.thaw)

    def remove(self) -> None:
        self._at_once(PrivateNode.remove)
        self._switch.close()

    def _at_once(self, act: Callable[[PrivateNode], None], nodes: list[PrivateNode] | None = None) -> None:
        with ThreadPoolExecutor(COUNT) as threads:
            list(threads.map(act, self.nodes if nodes is None else nodes))


def _sees_all(node: PrivateNode, seconds: float = WHOLE_SECONDS) -> None:
    def sees() -> bool:
        try:
            said = node.ctl("--silent", "cluster_status", "--formatter", "json")
        except NodeFailed:  # it pauses, or has just come back
            return False
        return len(json.loads(said)["running_nodes"]) == COUNT

    try:
        wait_until(sees, seconds)
    except AssertionError as error:
        raise NodeFailed(f"{node.name} sees no whole cluster:\n{node.logged()}") from error


def _may_go(node: PrivateNode) -> None:
    """Wait for it: members of queues begin after their node, and one that has no third may not lose a second."""

    def not_critical() -> bool:
        try:
            node.tool("rabbitmq-queues", "check_if_node_is_quorum_critical")
        except NodeFailed:
            return False
        return True

    try:
        wait_until(not_critical, WHOLE_SECONDS)
    except AssertionError as error:
        raise NodeFailed(f"{node.name} may not go:\n{node.logged()}") from error


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Running; removed at the end."""
    if reason := unavailable():
        pytest.skip(f"A cluster's nodes need machines of their own: {reason}.")
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.remove()


@asynccontextmanager
async def stopped(node: PrivateNode) -> AsyncIterator[None]:
    """Ended in order (SIGTERM) inside the block, and started again."""
    await asyncio.to_thread(node.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(node.start)


@asynccontextmanager
async def drained(node: PrivateNode) -> AsyncIterator[None]:
    """In maintenance inside the block: it has closed all connections, leads no queue and takes no client."""
    await asyncio.to_thread(node.tool, "rabbitmq-upgrade", "drain")
    try:
        yield
    finally:
        await asyncio.to_thread(node.tool, "rabbitmq-upgrade", "revive")
