"""The event path in one simulated world: the real relay, bus, topology and notifier between a database, a broker and a
mail server in memory. A fault is one method; what a fault makes unknowable is noted in the ledger when it strikes.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from prometheus_client import REGISTRY

from services.auth.tables import outbox
from shared.messaging import outbox as outbox_of_service
from shared.messaging.amqp.dead_letters import described
from shared.messaging.amqp.messages import Arrived
from shared.messaging.events import OtpRequested
from shared.messaging.topology import OTP_DELIVERY
from tests.builders import otp_requested
from tests.model.broker import MemoryRabbitMQ, Stored, Unconfirmed
from tests.model.connections import Incoming
from tests.model.faults import Blow, Mail, Publish
from tests.model.ledger import Ledger
from tests.model.mail_server import MemoryMailServer, Sending
from tests.model.outbox_rows import MemoryDatabase, Rows
from tests.model.processes import AuthReplica, Notifier, Process
from tests.model.simulated_time import SimulatedLoop, rule_clocks
from tests.model.simulated_world import SEALER, SETTINGS, Log
from tests.model.walks import Violated

# What a process of ours logs when it meets something that its author has not thought of.
_BUGS = {"handler failed", "consumer failed"}


class EventPath:
    def __init__(self, log: Log) -> None:
        log.clear()
        self._log = log
        self.loop = SimulatedLoop()
        rule_clocks(self.loop)
        self.broker = MemoryRabbitMQ(self.loop)
        self.mail_server = MemoryMailServer(self.loop)
        self.ledger = Ledger()
        self._rows = Rows(lambda: self.loop.moment)
        self._disturbed_until = self.loop.moment
        self._expired_before = _counted_as_expired()
        # Of a replica that died right after its commit: wakes no relay.
        self._elsewhere = MemoryDatabase(self._rows)
        self.relays = {name: AuthReplica(name, self.loop, self.broker, self._rows) for name in ("auth 1", "auth 2")}
        self.notifiers = {
            name: Notifier(name, self.loop, self.broker, SETTINGS, self.mail_server)
            for name in ("notifier 1", "notifier 2")
        }
        self.processes: dict[str, Process] = {**self.relays, **self.notifiers}
        for process in self.processes.values():
            process.start()
        self.loop.pass_time()

    # What happens without a fault

    def ask_for_a_code(self, at: str, *, lives: int, committed: bool) -> None:
        """One transaction of auth, as services/auth/factors/challenges.py ends it."""
        digits = f"{len(self.ledger.codes) + 1:06d}"
        event = otp_requested(
            SEALER,
            code=digits,
            event_id=UUID(int=len(self.ledger.codes) + 1),
            requested_at=self.loop.moment,
            expires_at=self.loop.moment + timedelta(seconds=lives),
        )
        self.ledger.asked(event, digits, committed=committed)
        database = self.relays[at].database if at in self.relays and self.relays[at].alive else self._elsewhere
        self.loop.run_until_complete(_one_transaction(database, event, committed=committed))

    def all_goes_well(self, seconds: float) -> None:
        """Whatever is asked of the broker and the mail server in that time succeeds at once."""
        until = self.loop.time() + seconds
        while self.loop.time() < until:
            self.loop.pass_time()
            if not self._answer_all():
                self.loop.pass_time(min(1.0, max(0.0, until - self.loop.time())))

    def _answer_all(self) -> bool:
        publishes, mails = self.broker.unconfirmed[:], self.mail_server.undecided
        for publish in publishes:
            self.decide_publish(publish, Publish.CONFIRMED)
        for mail in mails:
            self.mail_server.decide(mail, Mail.ACCEPTED)
        return bool(publishes or mails)

    def start(self, name: str) -> None:
        self._disturb()
        self.processes[name].start()

    def stop(self, name: str) -> None:
        """SIGTERM to one while all else is well: it may lose nothing, and leave nobody in doubt."""
        self._disturb()
        for one in [one for one in self.broker.unconfirmed if one.answer.done()]:  # in doubt already
            self.decide_publish(one, Publish.CONFIRMED)
        in_doubt = self.ledger.unknown.total()
        task = self.processes[name].stop()
        while not task.done():
            self.all_goes_well(0.5)
        if self.ledger.unknown.total() > in_doubt:
            raise Violated("I4", f"{name} was stopped by SIGTERM, and left it open whether a message was stored")

    # Faults

    def decide_publish(self, one: Unconfirmed, what: Publish) -> None:
        self.broker.unconfirmed.remove(one)
        stored = what in (Publish.CONFIRMED, Publish.UNHEARD, Publish.STORED_THEN_CRASH)
        if stored and not self.broker.confirm(one, heard=what is Publish.CONFIRMED):
            self._could_not_know(one.stored.event_id)  # also if its publisher had lost patience, or its connection
        if what is Publish.REFUSED:
            self.broker.refuse(one)
        if what in (Publish.CRASH, Publish.STORED_THEN_CRASH):
            self.kill(self._of(one.owner))
        if what is not Publish.CONFIRMED:
            self._disturb()

    def decide_mail(self, one: Sending, what: Mail) -> None:
        event_id = one.mail.event_id
        self.mail_server.decide(one, what)
        if what is Mail.REFUSED_FOR_GOOD:
            self.ledger.refused_for_good.add(event_id)
        if what in (Mail.UNHEARD, Mail.SILENT):
            self._could_not_know(event_id)
        assert isinstance(one.owner, Process)
        if what in (Mail.CRASH, Mail.ACCEPTED_THEN_CRASH):
            self.kill(one.owner.name)
        if what is Mail.ACCEPTED_THEN_CUT:
            self.cut(one.owner.name)
        if what is not Mail.ACCEPTED:
            self._disturb()

    def strike(self, what: Blow, name: str) -> None:
        match what:
            case Blow.KILL:
                self.kill(name)
            case Blow.CUT_FROM_BROKER:
                self.cut(name)
            case Blow.CUT_FROM_DATABASE if name in self.relays:
                self.lose_database_connections(name)
            case Blow.STOP if self.broker.up:
                self.stop(name)
                self.start(name)
            case Blow.BROKER_GOES:
                self.break_broker()
            case Blow.MESSAGE_DOUBLED:
                self.double_a_message()
            case Blow.CLOCK_LEAPS_AHEAD:
                self.processes[name].wall_clock_error = 300.0
            case Blow.CLOCK_LEAPS_BACK:
                self.processes[name].wall_clock_error = -300.0

    def kill(self, name: str) -> None:
        process = self.processes[name]
        if isinstance(process, AuthReplica):
            self.lose_database_connections(name)
        self._returned(process.kill())

    def cut(self, name: str) -> None:
        """Its connections to the broker break; it may connect again at once."""
        self._returned(self.processes[name].cut())

    def lose_database_connections(self, name: str) -> None:
        self._could_not_know(*self.relays[name].cut_from_database())

    def break_broker(self) -> None:
        """Restarted on the way: what it has confirmed is on its disk."""
        self.broker.up = False
        for name in self.processes:
            self.cut(name)

    def double_a_message(self) -> None:
        waiting = self.broker.queues[OTP_DELIVERY.queue].waiting
        if waiting:
            self._could_not_know(waiting[0].event_id)
            waiting.append(waiting[0])

    def mend(self) -> None:
        self._disturb()
        self.broker.up = True
        for name, process in self.processes.items():
            if not process.alive:
                self.start(name)

    @property
    def is_damaged(self) -> bool:
        return not self.broker.up or not all(process.alive for process in self.processes.values())

    def _of(self, connection: object) -> str:
        return next(name for name, process in self.processes.items() if process.owns(connection))

    def _returned(self, messages: list[Incoming]) -> None:
        self._could_not_know(*(message.stored.event_id for message in messages))

    def _could_not_know(self, *event_ids: str) -> None:
        self.ledger.could_not_know(event_ids)
        self._disturb()

    def _disturb(self) -> None:
        self._disturbed_until = self.loop.moment

    # What must be true

    def check(self) -> None:
        bugs = [entry for entry in self._log if entry["event"] in _BUGS]
        if bugs:
            raise Violated("I0", f"{bugs[0]['event']}: {bugs[0].get('error') or bugs[0].get('exc_info')}")
        for name, process in self.processes.items():
            if process.died:
                raise Violated("I0", f"{name} ended by itself: {process.died!r}")
        self.ledger.check(self.mail_server.inbox, slowest_publish=self.broker.slowest_publish)

    def come_to_rest(self) -> None:
        """Everything is mended and started; nothing may stay under way, and nothing may have got lost."""
        self.mend()
        disturbed_until = self._disturbed_until
        self._wait_until_empty()
        self.check()
        expired = [entry["event_id"] for entry in self._log if entry.get("outcome") == "expired"]
        if _counted_as_expired() - self._expired_before != len(expired):
            raise Violated("I1", "a code was dropped as expired and not counted, or the other way round")
        dead = self.broker.queues[OTP_DELIVERY.dead_queue].waiting
        letters = [described(_as_received(stored), OTP_DELIVERY.queue) for stored in dead]
        self.ledger.check_at_rest(set(expired), letters, disturbed_until)

    def _wait_until_empty(self) -> None:
        patience = self.loop.time() + 300
        while self._under_way():
            if self.loop.time() > patience:
                raise Violated("I1", f"does not come to rest, still there: {', '.join(sorted(self._under_way()))}")
            self.all_goes_well(1)

    def _under_way(self) -> set[str]:
        ours = {OTP_DELIVERY.queue} | {name for name in self.broker.queues if ".otp.retry." in name}
        places = {name for name in ours if name in self.broker.queues and self.broker.queues[name].waiting}
        unacknowledged = (process.holds_messages for process in self.processes.values())
        return (
            places
            | ({"outbox"} if self._rows.committed else set())
            | ({"unacknowledged"} if any(unacknowledged) else set())
            | ({"unconfirmed"} if self.broker.unconfirmed else set())
            | ({"mails"} if self.mail_server.sending else set())
        )

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        self.loop.close()


def _counted_as_expired() -> float:
    return REGISTRY.get_sample_value("login2fa_deliveries_total", {"outcome": "expired"}) or 0.0


async def _one_transaction(database: MemoryDatabase, event: OtpRequested, *, committed: bool) -> None:
    with suppress(_RolledBack):
        async with database.transaction() as connection:
            await outbox_of_service.add(connection, outbox, event)
            _unless(committed=committed)


class _RolledBack(Exception):
    pass


def _unless(*, committed: bool) -> None:
    if not committed:
        raise _RolledBack


def _as_received(stored: Stored) -> Arrived:
    nobody = cast("Any", None)  # a dead letter is looked at, not settled
    return cast("Arrived", Incoming(stored, "", nobody, nobody))
