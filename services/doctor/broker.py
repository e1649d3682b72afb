"""The broker: can it be reached, is the topology there, does anybody consume, are there dead letters?

Bindings and permissions cannot be seen over AMQP; what is wrong with them stays in the outbox.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from services.doctor.findings import Finding, fail, ok, warn
from shared.messaging.amqp.inspection import Counts, Inspected, inspect
from shared.messaging.bus import BusError
from shared.messaging.topology import (
    PROCESSES,
    SUBSCRIPTIONS,
    Subscription,
    events_exchange,
    process_of,
    returns_exchange,
)

_DECLARE: Final = "Load the definitions that `login2fa broker-users` writes, or run `login2fa topology`"


async def broker(variable: str, url: str, process: str | None, node: str = "") -> list[Finding]:
    """The part that concerns `process`: the queues that it reads, and those that its events go to. None: everything.

    `node`: what tells this URL from others of `variable`.
    """
    subscriptions = [each for each in SUBSCRIPTIONS if process is None or process in _parties(each)]
    processes = PROCESSES if process is None else (process,)
    exchanges = [exchange(each) for each in processes for exchange in (events_exchange, returns_exchange)]
    queues = [queue for each in subscriptions for queue in (each.queue, each.dead_queue, *each.retry_queues)]
    try:
        seen = await inspect(url, exchanges=exchanges, queues=queues)
    except BusError as error:
        advice = f"Look at user, password, host and virtual host in {variable}, and whether the broker runs"
        return [fail("broker", f"{variable}{node}", str(error), advice)]
    return [
        ok("broker", f"{variable}{node}", "reached"),
        *_topology(variable, seen),
        *_queues(variable, subscriptions, seen),
    ]


def of_a_cluster(findings: Sequence[Finding]) -> list[Finding]:
    """All nodes tell the same of the topology. One that does not answer is no failure while another does."""
    served = any(each.name == "broker" and each.level == "ok" for each in findings)
    spared = (
        replace(each, level="warn") if served and (each.name, each.level) == ("broker", "fail") else each
        for each in findings
    )
    return list(dict.fromkeys(spared))


def _parties(subscription: Subscription) -> set[str]:
    return {subscription.consumer, *map(process_of, subscription.routing_keys)}


def _topology(variable: str, seen: Inspected) -> Iterator[Finding]:
    if seen.missing:
        yield fail("topology", variable, f"the broker has no {', no '.join(seen.missing)}", _DECLARE)
    else:
        yield ok("topology", variable, f"exchanges and {len(seen.queues)} queues are there")


def _queues(variable: str, subscriptions: Sequence[Subscription], seen: Inspected) -> Iterator[Finding]:
    none = Counts(consumers=0, messages=0)
    for each in subscriptions:
        if each.queue in seen.queues and not seen.queues[each.queue].consumers:
            waiting = seen.queues[each.queue].messages
            said = f"nobody reads the queue {each.queue}, in which {waiting} messages wait"
            yield fail("no-consumer", variable, said, f"Start {each.consumer}, or look into its log and its /readyz")
        if dead := seen.queues.get(each.dead_queue, none).messages:
            said = f"{dead} messages for {each.consumer} were given up: {each.dead_queue}"
            yield warn("dead-letters", variable, said, f"Run `login2fa dead-letters list --queue {each.queue}`")
